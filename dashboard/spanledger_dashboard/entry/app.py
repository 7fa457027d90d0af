"""What Streamlit runs. It has a folder of its own because Streamlit takes a `pages` folder beside it for its own."""

from spanledger_dashboard.application import main

main()
