"""Which documented errors of which operation no test can provoke, and why; together with what the
tests have provoked that must be all that AWS documents."""
import drift
from world import DRY_RUN, IN_USE, INVALID, LIMIT, NOT_FOUND

KMS = {f"KMS{what}" for what in ("DisabledException", "InvalidStateException", "NotFoundException",
                                 "AccessDeniedException", "OptInRequired", "ThrottlingException")}
NO_KMS = "there is no KMS: a key's name is kept and shown"
INSIDE = "a failure of the broker itself: no request makes one"
ANY_STATE = "taken in any state of the stream: nothing in it depends on one"
NO_RATE = "AWS names no rate, and there is nothing to run out of"
PER_DAY = "as often a day as encryption may be started: only over midnight, in settings_test.cc"
LATER = "SubscribeToShard is refused as a whole until it is here"
NOTHING_ELSE = "everything that could be wrong with it is a rule of its form: ValidationException"

UNREACHED = {
    **{("*", kind): NO_KMS for kind in KMS},
    ("*", "InternalFailureException"): INSIDE,
    ("StopStreamEncryption", LIMIT): PER_DAY,
    **{("SubscribeToShard", kind): LATER for kind in (NOT_FOUND, IN_USE, LIMIT, DRY_RUN)},
    **{(operation, IN_USE): ANY_STATE for operation in (
        "AddTagsToStream", "RemoveTagsFromStream", "TagResource", "UntagResource",
        "ListTagsForResource", "ListShards", "ListStreamConsumers", "GetResourcePolicy",
        "PutResourcePolicy", "DeleteResourcePolicy")},
    **{(operation, LIMIT): NO_RATE for operation in (
        "DeleteResourcePolicy", "GetResourcePolicy", "ListTagsForResource", "TagResource",
        "UntagResource", "UpdateMaxRecordSize")},
    ("UpdateAccountSettings", INVALID): NOTHING_ELSE,
}


def problems(provoked):
    """Pairs that nobody has provoked and nobody excuses; excuses that nobody needs."""
    found = []
    wanted = {(operation, kind) for operation in drift.table.SCHEMA.operations
              for kind in drift.MODEL.errors(operation)}
    for operation, kind in sorted(wanted - provoked):
        if (operation, kind) not in UNREACHED and ("*", kind) not in UNREACHED:
            found.append(f"{operation}: {kind} is documented and was not provoked")
    for operation, kind in sorted(UNREACHED):
        if (operation, kind) in provoked:
            found.append(f"{operation}: {kind} was provoked: no reason is needed why it cannot be")
        if operation != "*" and (operation, kind) not in wanted:
            found.append(f"{operation}: {kind} is not documented: no reason is needed")
    return found, len(wanted & provoked), len(wanted)
