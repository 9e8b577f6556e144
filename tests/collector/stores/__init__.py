"""Small stores that earlier releases wrote, and the script that makes them."""
