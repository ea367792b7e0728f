// One tour with the AWS SDK for Go v2: JSON over HTTP/1.1.   usage: client ENDPOINT
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

const stream = "tour-go"

var (
	ctx    = context.Background()
	client *kinesis.Client
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func check(ok bool, what ...any) {
	if !ok {
		log.Fatal(what...)
	}
}

func refused(code string, err error) {
	var api smithy.APIError
	check(errors.As(err, &api) && api.ErrorCode() == code, code, " expected, not ", err)
}

func exists() {
	waiter := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second })
	input := &kinesis.DescribeStreamInput{StreamName: aws.String(stream)}
	must(0, waiter.Wait(ctx, input, 30*time.Second))
}

func read(input kinesis.GetShardIteratorInput) string {
	input.StreamName = aws.String(stream)
	iterator := must(client.GetShardIterator(ctx, &input)).ShardIterator
	var words []string
	for iterator != nil {
		answer := must(client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator}))
		for _, record := range answer.Records {
			words = append(words, string(record.Data))
		}
		iterator = answer.NextShardIterator
		if len(answer.Records) == 0 && *answer.MillisBehindLatest == 0 {
			break
		}
	}
	return strings.Join(words, " ")
}

func main() {
	settings := must(config.LoadDefaultConfig(ctx))
	client = kinesis.NewFromConfig(settings, func(o *kinesis.Options) { o.BaseEndpoint = aws.String(os.Args[1]) })

	must(client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String(stream), ShardCount: aws.Int32(2)}))
	exists()
	shards := must(client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(stream)})).Shards
	check(len(shards) == 2, shards)
	shard := shards[0].ShardId

	one := must(client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String(stream), Data: []byte("one"),
		PartitionKey: aws.String("clé 🚀"), ExplicitHashKey: aws.String("0")}))
	check(*one.ShardId == *shard, *one.ShardId)
	var entries []types.PutRecordsRequestEntry
	for _, word := range []string{"two", "three"} {
		entries = append(entries, types.PutRecordsRequestEntry{Data: []byte(word), PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("9")})
	}
	batch := must(client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(stream), Records: entries}))
	check(*batch.FailedRecordCount == 0)

	all := "one two three"
	check(read(kinesis.GetShardIteratorInput{ShardId: shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}) == all)
	check(read(kinesis.GetShardIteratorInput{ShardId: shard, ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: one.SequenceNumber}) == all)
	check(read(kinesis.GetShardIteratorInput{ShardId: shard, ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: one.SequenceNumber}) == "two three")
	hourAgo := aws.Time(time.Now().Add(-time.Hour))
	check(read(kinesis.GetShardIteratorInput{ShardId: shard, ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: hourAgo}) == all)
	check(read(kinesis.GetShardIteratorInput{ShardId: shard, ShardIteratorType: types.ShardIteratorTypeLatest}) == "")

	must(client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: aws.String(stream), ShardToSplit: shard, NewStartingHashKey: aws.String("1000")}))
	exists()
	var children []*string
	for _, s := range must(client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(stream)})).Shards {
		if s.ParentShardId != nil && *s.ParentShardId == *shard {
			children = append(children, s.ShardId)
		}
	}
	check(len(children) == 2, children)
	must(client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: aws.String(stream), ShardToMerge: children[0], AdjacentShardToMerge: children[1]}))
	exists()

	must(client.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: aws.String(stream), Tags: map[string]string{"a": "1", "b": "2"}}))
	must(client.RemoveTagsFromStream(ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: aws.String(stream), TagKeys: []string{"a"}}))
	tags := must(client.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: aws.String(stream)})).Tags
	check(len(tags) == 1 && *tags[0].Key == "b" && *tags[0].Value == "2", tags)
	check(strings.Contains(fmt.Sprint(must(client.ListStreams(ctx, &kinesis.ListStreamsInput{})).StreamNames), stream))

	_, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("missing")})
	var missing *types.ResourceNotFoundException
	check(errors.As(err, &missing) && *missing.Message == "Stream missing under account 123456789012 not found.", err)
	_, err = client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String("AAAA")})
	refused("InvalidArgumentException", err)
	_, err = client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String(stream), Data: []byte("x"), PartitionKey: aws.String("")})
	refused("ValidationException", err)

	must(client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: aws.String(stream)}))
	gone := kinesis.NewStreamNotExistsWaiter(client, func(o *kinesis.StreamNotExistsWaiterOptions) { o.MinDelay = time.Second })
	must(0, gone.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String(stream)}, 30*time.Second))
}
