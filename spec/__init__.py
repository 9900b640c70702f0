"""The spec: one page per operator, and the clauses read from them."""
