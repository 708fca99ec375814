"""How scripts/book makes the book: Sphinx, which reads the Markdown by MyST. The source folder is the repository."""
from pygments.lexers.rust import RustLexer

project = "Lethe"
copyright = "the Lethe contributors"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "client/README.md", "docs/**.md", "examples/*/README.md", "fuzz/README.md", "hsm-sim/README.md"]
exclude_patterns = ["lethe-dev", "target"]

# Anchors of headings, as platforms that show Markdown make them.
myst_heading_anchors = 4
# Blocks of indented text are commands and formats of several kinds.
highlight_language = "none"

html_theme = "furo"
html_title = "Lethe"
html_copy_source = False
html_show_sphinx = False


def setup(app):
    # Blocks that are tests of the Rust documentation too.
    app.add_lexer("rust,no_run", RustLexer)
