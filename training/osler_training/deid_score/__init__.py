"""How well de-identification does on planted identifiers, action by action, as the MIDI-B challenge scores it."""
