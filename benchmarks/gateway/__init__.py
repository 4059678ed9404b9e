"""What the DICOM gateway takes in, how fast, and what is left after kills."""
