"""What generates and scores, behind two small protocols (`base`); heavy back ends are imported when they are chosen."""
