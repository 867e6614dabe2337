"""What readers said of studies: reviews that are appended and never changed, drafts, and what is made of them."""

from osler.feedback.drafts import Draft, forget_drafts, keep_draft, read_drafts
from osler.feedback.log import FILE, ReviewConflictError, confirm_review, read_reviews, save_review, withdraw_review
from osler.feedback.review import MAX_COMMENT, MAX_NAME, Answer, Conclusion, Review
from osler.feedback.state import ReviewState, StudyReviews, reviews_by_study, reviews_of
from osler.feedback.store import redact_lines, reviews_stamp, store_of

__all__ = [
    "FILE",
    "MAX_COMMENT",
    "MAX_NAME",
    "Answer",
    "Conclusion",
    "Draft",
    "Review",
    "ReviewConflictError",
    "ReviewState",
    "StudyReviews",
    "confirm_review",
    "forget_drafts",
    "keep_draft",
    "read_drafts",
    "read_reviews",
    "redact_lines",
    "reviews_by_study",
    "reviews_of",
    "reviews_stamp",
    "save_review",
    "store_of",
    "withdraw_review",
]
