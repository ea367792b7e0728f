#!/usr/bin/env bash
# One tour with the AWS CLI.   usage: awscli_client.sh ENDPOINT AWS
set -euo pipefail
endpoint=$1 aws=$2 stream=tour-awscli
# A shard gives five reads a second: the client waits and tries again, as at AWS.
export AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=10
kinesis() { "$aws" --endpoint-url "$endpoint" --output text kinesis "$@"; }
is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'" >&2; exit 1; }; }
refused() {   # refused CODE COMMAND...
  local code=$1 out
  shift
  if out=$(kinesis "$@" 2>&1); then echo "$* was not refused" >&2; exit 1; fi
  [[ $out == *"($code)"* ]] || { echo "$* was refused otherwise: $out" >&2; exit 1; }
}
read_all() { kinesis get-records --shard-iterator "$1" --query 'Records[].Data' | tr '\t' ' '; }

kinesis create-stream --stream-name $stream --shard-count 2
kinesis wait stream-exists --stream-name $stream
is "$(kinesis describe-stream-summary --stream-name $stream --query StreamDescriptionSummary.OpenShardCount)" 2
number=$(kinesis put-record --stream-name $stream --partition-key k --explicit-hash-key 0 --data one --query SequenceNumber)
is "$(kinesis put-records --stream-name $stream --query FailedRecordCount --records \
  'Data=two,PartitionKey=k,ExplicitHashKey=1' 'Data=three,PartitionKey=k,ExplicitHashKey=2')" 0
shard=shardId-000000000000
for kind in TRIM_HORIZON "AT_SEQUENCE_NUMBER --starting-sequence-number $number" "AT_TIMESTAMP --timestamp 1"; do
  # shellcheck disable=SC2086  # a kind and its option
  iterator=$(kinesis get-shard-iterator --stream-name $stream --shard-id $shard --query ShardIterator --shard-iterator-type $kind)
  is "$(read_all "$iterator")" "b25l dHdv dGhyZWU="
done
iterator=$(kinesis get-shard-iterator --stream-name $stream --shard-id $shard --query ShardIterator \
  --shard-iterator-type AFTER_SEQUENCE_NUMBER --starting-sequence-number "$number")
is "$(read_all "$iterator")" "dHdv dGhyZWU="
iterator=$(kinesis get-shard-iterator --stream-name $stream --shard-id $shard --query ShardIterator --shard-iterator-type LATEST)
is "$(read_all "$iterator")" ""

kinesis split-shard --stream-name $stream --shard-to-split $shard --new-starting-hash-key 1000
kinesis wait stream-exists --stream-name $stream
is "$(kinesis list-shards --stream-name $stream --query 'length(Shards)')" 4
kinesis merge-shards --stream-name $stream --shard-to-merge shardId-000000000002 --adjacent-shard-to-merge shardId-000000000003
kinesis wait stream-exists --stream-name $stream
is "$(kinesis list-shards --stream-name $stream --query 'length(Shards)')" 5
kinesis add-tags-to-stream --stream-name $stream --tags a=1,b=2
kinesis remove-tags-from-stream --stream-name $stream --tag-keys a
is "$(kinesis list-tags-for-stream --stream-name $stream --query 'Tags[0].[Key,Value]' | tr '\t' '=')" b=2
is "$(kinesis list-streams --query "StreamNames[?@=='$stream']")" $stream
refused ResourceNotFoundException describe-stream --stream-name missing
refused InvalidArgumentException split-shard --stream-name $stream --shard-to-split shardId-000000000001 --new-starting-hash-key 5
AWS_ACCESS_KEY_ID=AKIANOBODY refused UnrecognizedClientException list-streams
kinesis delete-stream --stream-name $stream
kinesis wait stream-not-exists --stream-name $stream
