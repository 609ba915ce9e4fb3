"""Tables as data, and what they become: Markdown, LaTeX, CSV, frames."""
