"""Who a visitor is and what they may do: claims of a login, roles by rule, logins that ended.

It imports the settings and no Streamlit; ui, views, pages and the server import it.
"""
