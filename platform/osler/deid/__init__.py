"""De-identification: PS3.15 Annex E, the Basic Profile with modified dates, keyed so that one patient stays one."""

from osler.deid.basic_profile import deidentify, patient_key, to_bytes
from osler.deid.key import default_key_path, load_key
from osler.deid.pseudonyms import Pseudonymizer, shift_date

__all__ = ["Pseudonymizer", "default_key_path", "deidentify", "load_key", "patient_key", "shift_date", "to_bytes"]
