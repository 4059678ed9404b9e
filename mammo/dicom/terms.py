"""Defined terms and registered UIDs: the only values of a file that messages quote.

Any text element can hold a name by accident or on purpose, a code string too.
So a message or a report names a value only where it is one of a known list.
"""

from __future__ import annotations

from collections.abc import Collection

from pydicom.config import IGNORE
from pydicom.uid import UID


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODALITIES = _words(
    "AR AS ASMT AU BDUS BI BMD CD CF CFM CP CR CS CT DD DF DG DM DMS DOC DS DX EC ECG EEG EMG "
    "EOG EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM "
    "OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE "
    "RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT SC SEG SM SMR SR SRF ST STAIN TEXTUREMAP "
    "TG US VA VF XA XAPROTOCOL XC"
)
"""Modality (0008,0060), PS3.3 C.7.3.1.1.1, retired terms with them."""
PHOTOMETRIC_INTERPRETATIONS = _words(
    "MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 YBR_PARTIAL_422 YBR_ICT "
    "YBR_RCT HSV ARGB CMYK XYB"
) | {"PALETTE COLOR"}
"""Photometric Interpretation (0028,0004), PS3.3 C.7.6.3.1.2."""
INTENTS = frozenset(("FOR PRESENTATION", "FOR PROCESSING"))
"""Presentation Intent Type (0008,0068)."""
BODY_PARTS = _words(
    "ABDOMEN ANKLE ARM BRAIN BREAST CHEST CSPINE ELBOW EXTREMITY EYE FINGER FOOT HAND HEAD HEART "
    "HIP JAW KNEE LEG LSPINE NECK PELVIS RIB SHOULDER SKULL SPINE SSPINE TOE TSPINE WRIST"
)
"""Body Part Examined (0018,0015), the usual ones of PS3.16 annex L."""
LATERALITIES = frozenset(("L", "R", "B", "U"))
"""Image Laterality (0020,0062) and Frame Laterality (0020,9072)."""


def name_term(value: str, terms: Collection[str]) -> str:
    """Return a defined term as it is; what is none stays unnamed."""
    if not value:
        return "absent"
    return value if value in terms else "not a defined term"


def name_uid(uid: str) -> str:
    """Return a UID's registered name; what is not registered stays unnamed: it may identify."""
    if not uid:
        return "absent"
    known = UID(uid, validation_mode=IGNORE)  # its warning would quote the value
    return known.name if known.name != known else "not a registered UID"  # UID strips spaces
