"""One tree of errors; every refusal has a stable code.

    MammoError                      500  INTERNAL
    ├── SettingsInvalid             422  SETTINGS_INVALID
    ├── ReadError                   422  one file cannot become a Mammogram
    │   ├── EmptyFile               400  EMPTY_FILE
    │   ├── NotDicom                415  NOT_DICOM
    │   ├── DicomTruncated          422  DICOM_TRUNCATED
    │   ├── TooLarge                413  TOO_LARGE
    │   ├── NotMammography          422  NOT_MAMMOGRAPHY
    │   ├── Tomosynthesis           422  TOMOSYNTHESIS
    │   ├── ForProcessing           422  FOR_PROCESSING
    │   ├── UnsupportedSyntax       422  UNSUPPORTED_SYNTAX
    │   ├── PixelsUnreadable        422  PIXELS_UNREADABLE
    │   ├── NoBreastFound           422  NO_BREAST_FOUND
    │   ├── ViewUnknown             422  VIEW_UNKNOWN
    │   ├── DuplicateImage          409  DUPLICATE_IMAGE
    │   ├── ExecutablePreamble      422  EXECUTABLE_PREAMBLE
    │   ├── NestedTooDeep           422  NESTED_TOO_DEEP
    │   ├── DecoderCrashed          422  DECODER_CRASHED
    │   ├── DecoderTimeout          422  DECODER_TIMEOUT
    │   ├── DecoderMemory           413  DECODER_MEMORY
    │   ├── MaskInvalid             422  MASK_INVALID
    │   ├── RowInvalid              422  ROW_INVALID
    │   ├── FileVanished            404  FILE_VANISHED
    │   └── FileChanged             409  FILE_CHANGED
    ├── RequestError                400  the request as a whole
    │   ├── EmptyRequest            400  EMPTY_REQUEST
    │   ├── UnsupportedBody         415  UNSUPPORTED_BODY
    │   ├── BodyIncomplete          400  BODY_INCOMPLETE
    │   ├── RequestTimeout          408  REQUEST_TIMEOUT
    │   ├── ArchiveInvalid          422  ARCHIVE_INVALID
    │   ├── ArchiveBomb             413  ARCHIVE_BOMB
    │   ├── MixedExams              422  MIXED_EXAMS
    │   ├── NothingReadable         422  NOTHING_READABLE
    │   ├── ExamUnknown             404  EXAM_UNKNOWN
    │   ├── ResultUnknown           404  RESULT_UNKNOWN
    │   ├── ExamNotScored           404  EXAM_NOT_SCORED
    │   ├── ImagesNotReady          503  IMAGES_NOT_READY
    │   ├── DeadlineExceeded        504  DEADLINE_EXCEEDED
    │   ├── RequestCancelled        499  CLIENT_GONE
    │   ├── OutcomeInvalid          422  OUTCOME_INVALID
    │   ├── LogUnavailable          503  LOG_UNAVAILABLE
    │   ├── HeaderInvalid           400  HEADER_INVALID
    │   ├── IdempotencyConflict     409  IDEMPOTENCY_CONFLICT
    │   ├── JobUnknown              404  JOB_UNKNOWN
    │   ├── StudyUnknown            404  STUDY_UNKNOWN
    │   ├── DeliveryUnknown         404  DELIVERY_UNKNOWN
    │   ├── Overloaded              503  OVERLOADED
    │   └── NotReady                503  NOT_READY
    ├── AccessError             403  who may call the service
    │   ├── TokenMissing            401  TOKEN_MISSING
    │   ├── TokenInvalid            401  TOKEN_INVALID
    │   ├── RoleMissing             403  ROLE_MISSING
    │   ├── OriginForeign           403  ORIGIN_FOREIGN
    │   ├── HostForeign             421  HOST_FOREIGN
    │   ├── TokenUnknown            404  TOKEN_UNKNOWN
    │   ├── TokenNameInvalid        422  TOKEN_NAME_INVALID
    │   ├── TokenNameTaken          409  TOKEN_NAME_TAKEN
    │   └── TokensUnreadable        503  TOKENS_UNREADABLE
    ├── ClientError                      what the Python client found
    │   ├── ServiceUnreachable      503  SERVICE_UNREACHABLE
    │   └── AnswerUnreadable        502  ANSWER_UNREADABLE
    ├── DataError                        a data set or the index
    │   ├── SourceNotFound          404  SOURCE_NOT_FOUND
    │   ├── SourceInvalid           422  SOURCE_INVALID
    │   │   └── TableInvalid        422  TABLE_INVALID
    │   ├── DownloadInterrupted     503  DOWNLOAD_INTERRUPTED
    │   ├── DownloadRefused         403  DOWNLOAD_REFUSED
    │   ├── ChecksumMismatch        409  CHECKSUM_MISMATCH
    │   ├── ArchiveUnreachable      503  ARCHIVE_UNREACHABLE
    │   ├── IndexMissing            404  INDEX_MISSING
    │   ├── VersionUnknown          404  VERSION_UNKNOWN
    │   ├── RemoteUnreachable       503  REMOTE_UNREACHABLE
    │   ├── TooFewLabels            422  TOO_FEW_LABELS
    │   ├── BoxInvalid              422  BOX_INVALID
    │   ├── BoxFrameSuspect         422  BOX_FRAME_SUSPECT
    │   ├── NoBoxes                 422  NO_BOXES
    │   ├── ScoresInvalid           422  SCORES_INVALID
    │   ├── PartUnknown             404  PART_UNKNOWN
    │   ├── TooFewScores            422  TOO_FEW_SCORES
    │   ├── LevelUnknown            422  LEVEL_UNKNOWN
    │   ├── RunUnknown              404  RUN_UNKNOWN
    │   ├── NotComparable           422  NOT_COMPARABLE
    │   ├── WeightsInvalid          422  WEIGHTS_INVALID
    │   │   └── WeightsUnsafe       422  WEIGHTS_UNSAFE
    │   ├── WeightsUnreachable      503  WEIGHTS_UNREACHABLE
    │   ├── SplitUnbalanced         422  SPLIT_UNBALANCED
    │   ├── PatientLeak             422  PATIENT_LEAK
    │   ├── DiskFull                507  DISK_FULL
    │   ├── StoreReadOnly           500  STORE_READ_ONLY
    │   ├── AuditKeyMissing         500  AUDIT_KEY_MISSING
    │   ├── BackupExists            409  BACKUP_EXISTS
    │   ├── BackupInvalid           422  BACKUP_INVALID
    │   ├── BackupForeign           409  BACKUP_FOREIGN
    │   ├── HomeNotEmpty            409  HOME_NOT_EMPTY
    │   ├── DumpFailed              503  DUMP_FAILED
    │   ├── EpisodeUnknown          404  EPISODE_UNKNOWN
    │   ├── RecordInvalid           422  RECORD_INVALID
    │   ├── ChangeUnknown           404  CHANGE_UNKNOWN
    │   ├── PlanInvalid             422  PLAN_INVALID
    │   └── ValidationFailed        422  VALIDATION_FAILED
    ├── TrainingError                    a training run
    │   ├── TrainingDiverged        409  TRAINING_DIVERGED
    │   ├── TrainingRunning         409  TRAINING_RUNNING
    │   ├── StudyConflict           409  STUDY_CONFLICT
    │   ├── TuningStopped           500  TUNING_STOPPED
    │   └── CheckpointForeign       409  CHECKPOINT_FOREIGN
    ├── ReleaseError                     a release or its place in service
    │   ├── ReleaseNotFound         404  RELEASE_NOT_FOUND
    │   ├── DigestMismatch          409  DIGEST_MISMATCH
    │   ├── SignatureInvalid        409  SIGNATURE_INVALID
    │   ├── ParityError             409  PARITY
    │   ├── ScoreNotFinite          500  SCORE_NOT_FINITE
    │   ├── GateRefused             409  GATE_REFUSED
    │   │   └── GoldenLeaked        409  GOLDEN_LEAKED
    │   ├── NotJudged               409  NOT_JUDGED
    │   ├── ApprovalNeeded          409  APPROVAL_NEEDED
    │   ├── ApproverNotAllowed      403  APPROVER_NOT_ALLOWED
    │   ├── ChangeNotCovered        409  CHANGE_NOT_COVERED
    │   ├── PackagingFailed         409  PACKAGING_FAILED
    │   ├── NoPreviousRelease       409  NO_PREVIOUS_RELEASE
    │   ├── DeployFailed            409  DEPLOY_FAILED
    │   └── PointerDamaged          503  POINTER_DAMAGED
    ├── StackError                       the services of `mammo up`, a Dask cluster
    │   ├── PortTaken               409  PORT_TAKEN
    │   ├── StackNotRunning         409  STACK_NOT_RUNNING
    │   ├── StackRunning            409  STACK_RUNNING
    │   ├── StackUnhealthy          503  STACK_UNHEALTHY
    │   ├── ClusterUnreachable      503  CLUSTER_UNREACHABLE
    │   ├── ClusterUnfit            409  CLUSTER_UNFIT
    │   └── FlowRunFailed           500  FLOW_RUN_FAILED
    └── AzureError                  502  what Azure, or the way to it, answered
        ├── AzureUnset              422  AZURE_UNSET
        ├── AzureSpecInvalid        422  AZURE_SPEC_INVALID
        ├── AzureSignedOut          401  AZURE_SIGNED_OUT
        ├── AzureForbidden          403  AZURE_FORBIDDEN
        ├── AzureNotFound           404  AZURE_NOT_FOUND
        ├── AzureConflict           409  AZURE_CONFLICT
        ├── AzureThrottled          429  AZURE_THROTTLED
        ├── AzureUnreachable        503  AZURE_UNREACHABLE
        ├── AzureJobFailed          500  AZURE_JOB_FAILED
        └── AzureRolledBack         409  AZURE_ROLLED_BACK

A message says what was found, what is allowed and what to do. It never holds a
patient's name, birth date or original identifier, nor a path above the file's
own name where the path could hold one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class MammoError(Exception):
    """Base of every error that mammo raises on purpose."""

    code: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def problem(self) -> dict[str, object]:
        """Return the error as problem+json members (RFC 9457)."""
        title = self.code.replace("_", " ").capitalize()
        return {
            "type": f"urn:mammo:error:{self.code}",
            "title": title,
            "status": self.http_status,
            "code": self.code,
            "detail": self.message,
        }


class SettingsInvalid(MammoError):
    """A ``MAMMO_`` variable holds something else than it should."""

    code = "SETTINGS_INVALID"
    http_status = 422


class ReadError(MammoError):
    """One file cannot become a mammogram; ingest puts it into quarantine."""

    code = "UNREADABLE"
    http_status = 422


class EmptyFile(ReadError):
    """The file has no bytes."""

    code = "EMPTY_FILE"
    http_status = 400


class NotDicom(ReadError):
    """The bytes are not a DICOM file (PS3.10 section 7)."""

    code = "NOT_DICOM"
    http_status = 415


class DicomTruncated(ReadError):
    """The data set or its pixel data ends before its stated length."""

    code = "DICOM_TRUNCATED"


class TooLarge(ReadError):
    """The file or its pixel matrix is above the settled limit."""

    code = "TOO_LARGE"
    http_status = 413


class NotMammography(ReadError):
    """Modality, SOP Class or body part say that this is no mammogram."""

    code = "NOT_MAMMOGRAPHY"


class Tomosynthesis(ReadError):
    """A Breast Tomosynthesis object; only 2-D images are read."""

    code = "TOMOSYNTHESIS"


class ForProcessing(ReadError):
    """Presentation Intent Type (0008,0068) is FOR PROCESSING."""

    code = "FOR_PROCESSING"


class UnsupportedSyntax(ReadError):
    """The transfer syntax is none that is decoded here (PS3.5 annex A)."""

    code = "UNSUPPORTED_SYNTAX"


class PixelsUnreadable(ReadError):
    """The pixel data is missing, or the codec could not decode it."""

    code = "PIXELS_UNREADABLE"


class NoBreastFound(ReadError):
    """The image is constant or empty: nothing in it could be a breast."""

    code = "NO_BREAST_FOUND"


class ViewUnknown(ReadError):
    """Neither laterality nor view could be found where files keep them."""

    code = "VIEW_UNKNOWN"


class DuplicateImage(ReadError):
    """Another file with the same SOP Instance UID (0008,0018) is already in the index."""

    code = "DUPLICATE_IMAGE"
    http_status = 409


class ExecutablePreamble(ReadError):
    """The 128 bytes before DICM begin a program (MZ, ELF, Mach-O, a script; CVE-2019-11687)."""

    code = "EXECUTABLE_PREAMBLE"


class NestedTooDeep(ReadError):
    """Sequences lie inside each other deeper than any real object needs."""

    code = "NESTED_TOO_DEEP"


class DecoderCrashed(ReadError):
    """The process that read the file died; the file is left out, the service goes on."""

    code = "DECODER_CRASHED"


class DecoderTimeout(ReadError):
    """Reading the file took longer than the limit, and its process was killed."""

    code = "DECODER_TIMEOUT"


class DecoderMemory(ReadError):
    """Reading the file asked for more memory than the limit."""

    code = "DECODER_MEMORY"
    http_status = 413


class MaskInvalid(ReadError):
    """A region-of-interest mask that does not belong to its image, or cannot be read."""

    code = "MASK_INVALID"


class RowInvalid(ReadError):
    """A row of a label table that cannot be right; its image is left out."""

    code = "ROW_INVALID"


class FileVanished(ReadError):
    """The file was there when it was listed and is gone; the next ingest looks again."""

    code = "FILE_VANISHED"
    http_status = 404


class FileChanged(ReadError):
    """The file's bytes changed between listing and reading; the next ingest takes it."""

    code = "FILE_CHANGED"
    http_status = 409


class RequestError(MammoError):
    """The request as a whole cannot be answered."""

    code = "BAD_REQUEST"
    http_status = 400


class EmptyRequest(RequestError):
    """No file came with the request."""

    code = "EMPTY_REQUEST"


class UnsupportedBody(RequestError):
    """The body of the request is of a kind that holds no files."""

    code = "UNSUPPORTED_BODY"
    http_status = 415


class BodyIncomplete(RequestError):
    """The body ended before its own end: what came of it is thrown away."""

    code = "BODY_INCOMPLETE"


class RequestTimeout(RequestError):
    """The body stopped coming, or came more slowly than is waited for."""

    code = "REQUEST_TIMEOUT"
    http_status = 408


class ArchiveInvalid(RequestError):
    """A ZIP is broken, encrypted, nested, or packed in a way that is not read."""

    code = "ARCHIVE_INVALID"
    http_status = 422


class ArchiveBomb(RequestError):
    """A ZIP unpacks to far more than its size."""

    code = "ARCHIVE_BOMB"
    http_status = 413


class MixedExams(RequestError):
    """The files belong to more than one exam."""

    code = "MIXED_EXAMS"
    http_status = 422


class NothingReadable(RequestError):
    """Every file of the exam was refused."""

    code = "NOTHING_READABLE"
    http_status = 422

    def __init__(self, message: str, refused: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.refused = tuple(refused)
        """Records with ``file``, ``code`` and ``message``, one a file."""


class ExamUnknown(RequestError):
    """No prediction is logged under this exam id."""

    code = "EXAM_UNKNOWN"
    http_status = 404


class ResultUnknown(RequestError):
    """The pictures and findings of this scoring are not kept here, or not any more."""

    code = "RESULT_UNKNOWN"
    http_status = 404


class ExamNotScored(RequestError):
    """The exam is known and has no score: it failed, or it is still on its way."""

    code = "EXAM_NOT_SCORED"
    http_status = 404


class DeadlineExceeded(RequestError):
    """The exam was not scored in the time that it had; nothing was logged."""

    code = "DEADLINE_EXCEEDED"
    http_status = 504


class RequestCancelled(RequestError):
    """The caller left before the exam was scored; nothing was logged."""

    code = "CLIENT_GONE"
    http_status = 499


class OutcomeInvalid(RequestError):
    """An outcome is malformed or contradicts what is already known."""

    code = "OUTCOME_INVALID"
    http_status = 422


class HeaderInvalid(RequestError):
    """A header of the request does not hold what it should."""

    code = "HEADER_INVALID"


class IdempotencyConflict(RequestError):
    """The same Idempotency-Key came with other files."""

    code = "IDEMPOTENCY_CONFLICT"
    http_status = 409


class JobUnknown(RequestError):
    """No job has this id, or it is past the days that jobs are kept."""

    code = "JOB_UNKNOWN"
    http_status = 404


class StudyUnknown(RequestError):
    """No study of this key came in over DICOM."""

    code = "STUDY_UNKNOWN"
    http_status = 404


class DeliveryUnknown(RequestError):
    """The outbox has no such delivery, or none that may still be sent."""

    code = "DELIVERY_UNKNOWN"
    http_status = 404


class Overloaded(RequestError):
    """As many exams wait as may; ``retry_after_seconds`` says when to come again."""

    code = "OVERLOADED"
    http_status = 503

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LogUnavailable(RequestError):
    """The database of the prediction log is gone, locked or refuses; nothing was changed."""

    code = "LOG_UNAVAILABLE"
    http_status = 503


class ImagesNotReady(RequestError):
    """The exam is answered, its images are still being made for viewers; ask again."""

    code = "IMAGES_NOT_READY"
    http_status = 503
    retry_after_seconds = 1


class NotReady(RequestError):
    """No release is loaded yet."""

    code = "NOT_READY"
    http_status = 503


class AccessError(MammoError):
    """Who may call the service, and with what."""

    code = "ACCESS"
    http_status = 403


class TokenMissing(AccessError):
    """The request shows no bearer token, and one is needed."""

    code = "TOKEN_MISSING"
    http_status = 401


class TokenInvalid(AccessError):
    """The token is none of this service's, or was revoked."""

    code = "TOKEN_INVALID"
    http_status = 401


class RoleMissing(AccessError):
    """The token is good, and has no role that may do this."""

    code = "ROLE_MISSING"


class OriginForeign(AccessError):
    """A page of another site asks through somebody's browser."""

    code = "ORIGIN_FOREIGN"


class HostForeign(AccessError):
    """The Host header names another machine than the one that answers (DNS rebinding)."""

    code = "HOST_FOREIGN"
    http_status = 421


class TokenUnknown(AccessError):
    """No token has this name."""

    code = "TOKEN_UNKNOWN"
    http_status = 404


class TokenNameInvalid(AccessError):
    """The name or the roles of a new token are none that a token can have."""

    code = "TOKEN_NAME_INVALID"
    http_status = 422


class TokenNameTaken(AccessError):
    """Another token has this name."""

    code = "TOKEN_NAME_TAKEN"
    http_status = 409


class TokensUnreadable(AccessError):
    """The store of tokens is damaged, or others may write to it: nobody is let in."""

    code = "TOKENS_UNREADABLE"
    http_status = 503


class ClientError(MammoError):
    """What the Python client found on its side of the wire."""

    code = "CLIENT"


class ServiceUnreachable(ClientError):
    """No answer came from the service, after as many tries as were allowed."""

    code = "SERVICE_UNREACHABLE"
    http_status = 503


class AnswerUnreadable(ClientError):
    """Something answered, and not as this service does; a proxy, perhaps."""

    code = "ANSWER_UNREADABLE"
    http_status = 502


class DataError(MammoError):
    """A data set or the exam index."""

    code = "DATA"
    http_status = 422


class SourceNotFound(DataError):
    """The folder or file to ingest does not exist or holds nothing."""

    code = "SOURCE_NOT_FOUND"
    http_status = 404


class SourceInvalid(DataError):
    """The source is there, and is not laid out as its reader expects."""

    code = "SOURCE_INVALID"


class TableInvalid(SourceInvalid):
    """A label table has rows that cannot be right; the message names row and column."""

    code = "TABLE_INVALID"


class DownloadInterrupted(DataError):
    """A download broke off; what came is kept, and the next try goes on from there."""

    code = "DOWNLOAD_INTERRUPTED"
    http_status = 503


class DownloadRefused(DataError):
    """The far side does not let us: a wrong token, or terms that nobody has accepted."""

    code = "DOWNLOAD_REFUSED"
    http_status = 403


class ChecksumMismatch(DataError):
    """A file that came is not the file that was promised."""

    code = "CHECKSUM_MISMATCH"
    http_status = 409


class ArchiveUnreachable(DataError):
    """The DICOMweb archive does not answer, or not as PS3.18 says."""

    code = "ARCHIVE_UNREACHABLE"
    http_status = 503


class IndexMissing(DataError):
    """There is no exam index yet."""

    code = "INDEX_MISSING"
    http_status = 404


class VersionUnknown(DataError):
    """No data version of that name was made here or lies on the remote."""

    code = "VERSION_UNKNOWN"
    http_status = 404


class RemoteUnreachable(DataError):
    """The remote of the data versions does not answer, or does not let us in."""

    code = "REMOTE_UNREACHABLE"
    http_status = 503


class TooFewLabels(DataError):
    """Too few patients of a class to split, train or compare."""

    code = "TOO_FEW_LABELS"


class BoxInvalid(DataError):
    """A finding's box that cannot be one: without a place or a size, or outside its image."""

    code = "BOX_INVALID"


class BoxFrameSuspect(DataError):
    """Boxes that seem to count y from the bottom edge: where they lie nothing is to be seen."""

    code = "BOX_FRAME_SUSPECT"


class NoBoxes(DataError):
    """A set that does not say where its findings lie: no detector can learn or be judged."""

    code = "NO_BOXES"


class ScoresInvalid(DataError):
    """A table of scores lacks a column, or holds what no score or label can be."""

    code = "SCORES_INVALID"


class PartUnknown(DataError):
    """There is no such part of the scores, or nobody is in it."""

    code = "PART_UNKNOWN"
    http_status = 404


class TooFewScores(DataError):
    """A table of scores would be so short that its rows tell of single exams."""

    code = "TOO_FEW_SCORES"


class LevelUnknown(DataError):
    """Scores are judged by image, breast, exam or patient, and by nothing else."""

    code = "LEVEL_UNKNOWN"


class RunUnknown(DataError):
    """What was to be compared is no release, no MLflow run and no folder of a release."""

    code = "RUN_UNKNOWN"
    http_status = 404


class NotComparable(DataError):
    """Runs have no exam in common that none was trained on, or answer different questions."""

    code = "NOT_COMPARABLE"


class WeightsInvalid(DataError):
    """A file of weights cannot be read, or does not fit the network."""

    code = "WEIGHTS_INVALID"


class WeightsUnsafe(WeightsInvalid):
    """A checkpoint that holds more than tensors: reading it would run somebody's code."""

    code = "WEIGHTS_UNSAFE"


class WeightsUnreachable(DataError):
    """Pretrained weights that have to be downloaded, and cannot be from here."""

    code = "WEIGHTS_UNREACHABLE"
    http_status = 503


class SplitUnbalanced(DataError):
    """A fold differs from the whole by more than chance and tolerance allow."""

    code = "SPLIT_UNBALANCED"


class PatientLeak(DataError):
    """A patient, an exam or an image stands on two sides of a split."""

    code = "PATIENT_LEAK"


class DiskFull(DataError):
    """The disk or the quota is full; nothing half-written is visible. Make room, run again."""

    code = "DISK_FULL"
    http_status = 507


class StoreReadOnly(DataError):
    """The store's folder cannot be written to."""

    code = "STORE_READ_ONLY"
    http_status = 500


class AuditKeyMissing(DataError):
    """The audit log has lines, and the key that they were written under is gone."""

    code = "AUDIT_KEY_MISSING"
    http_status = 500


class EpisodeUnknown(DataError):
    """No drift episode of that key waits for a person."""

    code = "EPISODE_UNKNOWN"
    http_status = 404


class RecordInvalid(DataError):
    """A change record is not what was written: edited, removed, unsigned or against its schema."""

    code = "RECORD_INVALID"


class ChangeUnknown(DataError):
    """No change of that number or release is recorded."""

    code = "CHANGE_UNKNOWN"
    http_status = 404


class PlanInvalid(DataError):
    """The change-control plan cannot be read, or says something it cannot say."""

    code = "PLAN_INVALID"


class ValidationFailed(DataError):
    """An expectation on the exam index did not hold."""

    code = "VALIDATION_FAILED"


class BackupExists(DataError):
    """Where the backup should go is something already."""

    code = "BACKUP_EXISTS"
    http_status = 409


class BackupInvalid(DataError):
    """A backup is unfinished or damaged, or what was to be copied is."""

    code = "BACKUP_INVALID"


class BackupForeign(DataError):
    """A backup keeps a database otherwise than this installation: SQLite and PostgreSQL."""

    code = "BACKUP_FOREIGN"
    http_status = 409


class HomeNotEmpty(DataError):
    """There is state where a backup should be restored to."""

    code = "HOME_NOT_EMPTY"
    http_status = 409


class DumpFailed(DataError):
    """pg_dump or pg_restore is not there, or failed; the database is as it was."""

    code = "DUMP_FAILED"
    http_status = 503


class TrainingError(MammoError):
    """A training run that had begun."""

    code = "TRAINING"
    http_status = 409


class TrainingDiverged(TrainingError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""

    code = "TRAINING_DIVERGED"


class TrainingRunning(TrainingError):
    """Another process trains the same configuration on the same data."""

    code = "TRAINING_RUNNING"


class StudyConflict(TrainingError):
    """A tuning study of that name searches something else."""

    code = "STUDY_CONFLICT"


class TuningStopped(TrainingError):
    """Every worker of a tuning study ended before the study had its trials."""

    code = "TUNING_STOPPED"
    http_status = 500


class CheckpointForeign(TrainingError):
    """A checkpoint that this run did not write, or that holds more than numbers and text."""

    code = "CHECKPOINT_FOREIGN"


class ReleaseError(MammoError):
    """A release or its place in service."""

    code = "RELEASE"
    http_status = 409


class ReleaseNotFound(ReleaseError):
    """No release of that name is on disk."""

    code = "RELEASE_NOT_FOUND"
    http_status = 404


class DigestMismatch(ReleaseError):
    """A file of the release differs from what its manifest states."""

    code = "DIGEST_MISMATCH"


class SignatureInvalid(ReleaseError):
    """The release is unsigned, signed by no trusted key, or the signature does not fit."""

    code = "SIGNATURE_INVALID"


class ParityError(ReleaseError):
    """The golden input does not give the golden tensor or score here."""

    code = "PARITY"


class ScoreNotFinite(ReleaseError):
    """The network said NaN or infinity of an image: that is never a score."""

    code = "SCORE_NOT_FINITE"
    http_status = 500


class GateRefused(ReleaseError):
    """The gate's clauses did not hold for the challenger."""

    code = "GATE_REFUSED"


class GoldenLeaked(GateRefused):
    """The challenger was trained on images or patients of the sealed golden set."""

    code = "GOLDEN_LEAKED"


class NotJudged(ReleaseError):
    """The release never met the gate, or what was judged is not what lies there."""

    code = "NOT_JUDGED"


class ApprovalNeeded(ReleaseError):
    """The gate could not have told enough: a person must approve the release."""

    code = "APPROVAL_NEEDED"


class ApproverNotAllowed(ReleaseError):
    """Who approves lacks the role for it."""

    code = "APPROVER_NOT_ALLOWED"
    http_status = 403


class ChangeNotCovered(ReleaseError):
    """No clause of the change-control plan permits this change."""

    code = "CHANGE_NOT_COVERED"


class PackagingFailed(ReleaseError):
    """The wheel or the Bento of a release could not be built."""

    code = "PACKAGING_FAILED"


class NoPreviousRelease(ReleaseError):
    """There is nothing to roll back to."""

    code = "NO_PREVIOUS_RELEASE"


class DeployFailed(ReleaseError):
    """The service did not take the release over; the pointer was put back."""

    code = "DEPLOY_FAILED"


class PointerDamaged(ReleaseError, ValueError):
    """The pointer to what is in service is no whole pointer, and nothing writes over it."""

    code = "POINTER_DAMAGED"
    http_status = 503


class StackError(MammoError):
    """The services of `mammo up`, and the cluster of `mammo ingest --dask`."""

    code = "STACK"
    http_status = 409


class PortTaken(StackError):
    """Another process listens on a port that the stack needs."""

    code = "PORT_TAKEN"


class StackNotRunning(StackError):
    """The command needs the stack, and it is not up."""

    code = "STACK_NOT_RUNNING"


class StackRunning(StackError):
    """The stack of this MAMMO_HOME is already up."""

    code = "STACK_RUNNING"


class StackUnhealthy(StackError):
    """A service did not become healthy in time."""

    code = "STACK_UNHEALTHY"
    http_status = 503


class ClusterUnreachable(StackError):
    """No Dask scheduler answers, or it was lost during a run."""

    code = "CLUSTER_UNREACHABLE"
    http_status = 503


class ClusterUnfit(StackError):
    """A Dask worker has other code, another key or another disk than the asking process."""

    code = "CLUSTER_UNFIT"


class FlowRunFailed(StackError):
    """A flow run that was waited for did not complete."""

    code = "FLOW_RUN_FAILED"
    http_status = 500


class AzureError(MammoError):
    """Azure refused for a reason that none of the others is, or could not be asked."""

    code = "AZURE"
    http_status = 502


class AzureUnset(AzureError):
    """Nobody said which subscription, resource group and workspace, or the extra is missing."""

    code = "AZURE_UNSET"
    http_status = 422


class AzureSpecInvalid(AzureError):
    """A file of deploy/azure, or an option, is none that Azure's own schema takes."""

    code = "AZURE_SPEC_INVALID"
    http_status = 422


class AzureSignedOut(AzureError):
    """No credential was found, or Azure does not accept it (401)."""

    code = "AZURE_SIGNED_OUT"
    http_status = 401


class AzureForbidden(AzureError):
    """The identity is known and may not do this (403)."""

    code = "AZURE_FORBIDDEN"
    http_status = 403


class AzureNotFound(AzureError):
    """The workspace, or what was asked for in it, does not exist (404)."""

    code = "AZURE_NOT_FOUND"
    http_status = 404


class AzureConflict(AzureError):
    """The same name exists with other contents, or is just being changed (409)."""

    code = "AZURE_CONFLICT"
    http_status = 409


class AzureThrottled(AzureError):
    """Azure asks to come again later (429), also after the waits that it asked for."""

    code = "AZURE_THROTTLED"
    http_status = 429


class AzureUnreachable(AzureError):
    """Azure's address does not answer."""

    code = "AZURE_UNREACHABLE"
    http_status = 503


class AzureJobFailed(AzureError):
    """A job that was waited for did not complete."""

    code = "AZURE_JOB_FAILED"
    http_status = 500


class AzureRolledBack(AzureError):
    """A new deployment was not well; every request goes to the old one again."""

    code = "AZURE_ROLLED_BACK"
    http_status = 409
