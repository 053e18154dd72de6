"""The paper's tables and figures, trained, scored and drawn anew."""
