"""A page to drop crystals on and the interface behind it: texts in, answers out; needs the extra `web`."""
