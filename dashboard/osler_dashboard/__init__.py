"""The dashboard: Streamlit pages over the floors below."""
