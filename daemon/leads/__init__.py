"""Files of leads: recognised, mapped, checked row by row, and made leads all at once or not at all."""
