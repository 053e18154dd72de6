"""Files of any length gone through: read, worked on, written, resumed."""
