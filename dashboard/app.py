"""Launcher: `streamlit run dashboard/app.py`. `spanledger dashboard` does it with the settings that we ship."""

from spanledger_dashboard.application import main

main()
