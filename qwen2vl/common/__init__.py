"""Small tools that every layer may use; standard library and numpy only."""
