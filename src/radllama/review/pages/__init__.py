"""What the pages of a study look like: templates, scripts and styles."""

from pathlib import Path

from radllama.web.pages import Pages

PAGES = Pages("radllama.review.pages", Path(__file__).parent)
