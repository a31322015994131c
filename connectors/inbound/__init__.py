"""How leads come in: HTTP posts and files of leads."""
