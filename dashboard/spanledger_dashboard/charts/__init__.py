"""Figures: frames in, Plotly figures out; nothing here knows Streamlit or asks a question."""
