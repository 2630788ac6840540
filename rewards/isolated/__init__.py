"""Users' rewards in a process of their own: what they break there, they do not break in the run."""
