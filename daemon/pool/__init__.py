"""Lines and caller IDs: what is free, what rests, what is presented. Pure."""
