import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;
import software.amazon.awssdk.services.kinesis.model.Record;

/**
 * One tour with the AWS SDK for Java v2, whose bodies are CBOR: with the synchronous client over
 * HTTP/1.1, then with the asynchronous one, which speaks HTTP/2.
 * usage: Client ENDPOINT
 */
public class Client {
  static KinesisClient kinesis;
  static String stream = "tour-java";

  static void check(boolean ok, Object what) {
    if (!ok) throw new AssertionError(what);
  }

  static void refused(Class<? extends KinesisException> type, String message, Runnable call) {
    try {
      call.run();
    } catch (KinesisException error) {
      check(type.isInstance(error) && error.awsErrorDetails().errorMessage().contains(message), error);
      return;
    }
    throw new AssertionError(type + " expected");
  }

  static List<String> read(String shard, ShardIteratorType type, Consumer<GetShardIteratorRequest.Builder> more) {
    String iterator = kinesis.getShardIterator(r -> more.accept(r.streamName(stream).shardId(shard).shardIteratorType(type))).shardIterator();
    List<String> words = new ArrayList<>();
    while (iterator != null) {
      String at = iterator;
      GetRecordsResponse answer = kinesis.getRecords(r -> r.shardIterator(at));
      for (Record record : answer.records()) {
        words.add(record.data().asUtf8String());
        check(record.approximateArrivalTimestamp().isAfter(Instant.now().minusSeconds(600)), record);
      }
      iterator = answer.nextShardIterator();
      if (answer.records().isEmpty() && answer.millisBehindLatest() == 0) break;
    }
    return words;
  }

  static void exists() {
    kinesis.waiter().waitUntilStreamExists(r -> r.streamName(stream));
  }

  static void tour() {
    kinesis.createStream(r -> r.streamName(stream).shardCount(2));
    exists();
    StreamDescription description = kinesis.describeStream(r -> r.streamName(stream)).streamDescription();
    check(description.streamCreationTimestamp().isAfter(Instant.now().minusSeconds(600)), description);
    String shard = description.shards().get(0).shardId();

    PutRecordResponse one = kinesis.putRecord(r -> r.streamName(stream).data(SdkBytes.fromUtf8String("one")).partitionKey("clé 🚀").explicitHashKey("0"));
    check(one.shardId().equals(shard), one);
    PutRecordsResponse batch = kinesis.putRecords(r -> r.streamARN(description.streamARN()).records(
        PutRecordsRequestEntry.builder().data(SdkBytes.fromUtf8String("two")).partitionKey("k").explicitHashKey("5").build(),
        PutRecordsRequestEntry.builder().data(SdkBytes.fromUtf8String("three")).partitionKey("k").explicitHashKey("5").build()));
    check(batch.failedRecordCount() == 0, batch);

    List<String> all = List.of("one", "two", "three");
    check(read(shard, ShardIteratorType.TRIM_HORIZON, r -> {}).equals(all), "TRIM_HORIZON");
    check(read(shard, ShardIteratorType.AT_SEQUENCE_NUMBER, r -> r.startingSequenceNumber(one.sequenceNumber())).equals(all), "AT");
    check(read(shard, ShardIteratorType.AFTER_SEQUENCE_NUMBER, r -> r.startingSequenceNumber(one.sequenceNumber())).equals(all.subList(1, 3)), "AFTER");
    check(read(shard, ShardIteratorType.AT_TIMESTAMP, r -> r.timestamp(Instant.now().minusSeconds(3600))).equals(all), "AT_TIMESTAMP");
    check(read(shard, ShardIteratorType.LATEST, r -> {}).isEmpty(), "LATEST");

    kinesis.splitShard(r -> r.streamName(stream).shardToSplit(shard).newStartingHashKey("1000"));
    exists();
    List<String> children = kinesis.listShards(r -> r.streamName(stream)).shards().stream()
        .filter(s -> shard.equals(s.parentShardId())).map(Shard::shardId).toList();
    check(children.size() == 2, children);
    kinesis.mergeShards(r -> r.streamName(stream).shardToMerge(children.get(0)).adjacentShardToMerge(children.get(1)));
    exists();
    check(kinesis.listShards(r -> r.streamName(stream)).shards().size() == 5, "shards");

    kinesis.addTagsToStream(r -> r.streamName(stream).tags(Map.of("a", "1", "b", "2")));
    kinesis.removeTagsFromStream(r -> r.streamName(stream).tagKeys("a"));
    check(kinesis.listTagsForStream(r -> r.streamName(stream)).tags().equals(List.of(Tag.builder().key("b").value("2").build())), "tags");
    check(kinesis.listStreamsPaginator().streamNames().stream().anyMatch(stream::equals), "streams");

    refused(ResourceNotFoundException.class, "Stream missing under account 123456789012 not found.",
        () -> kinesis.describeStreamSummary(r -> r.streamName("missing")));
    refused(InvalidArgumentException.class, "", () -> kinesis.getRecords(r -> r.shardIterator("AAAA")));
    refused(KinesisException.class, "1 validation error detected: Value '' at 'partitionKey'",
        () -> kinesis.putRecord(r -> r.streamName(stream).data(SdkBytes.fromUtf8String("x")).partitionKey("")));
  }

  static void asynchronous(KinesisAsyncClient client) {
    List<CompletableFuture<PutRecordResponse>> puts = new ArrayList<>();
    for (int i = 0; i < 50; i++) {
      SdkBytes data = SdkBytes.fromString("async " + i, StandardCharsets.UTF_8);
      puts.add(client.putRecord(r -> r.streamName(stream).data(data).partitionKey("k").explicitHashKey("340282366920938463463374607431768211455")));
    }
    puts.forEach(CompletableFuture::join);
    String iterator = client.getShardIterator(r -> r.streamName(stream).shardId(puts.get(0).join().shardId()).shardIteratorType("TRIM_HORIZON")).join().shardIterator();
    check(client.getRecords(r -> r.shardIterator(iterator)).join().records().size() == 50, "async");
    try {
      client.deleteStream(r -> r.streamName("missing")).join();
      throw new AssertionError("a missing stream was deleted");
    } catch (CompletionException error) {
      check(error.getCause() instanceof ResourceNotFoundException, error);
    }
  }

  public static void main(String[] arguments) {
    URI endpoint = URI.create(arguments[0]);
    kinesis = KinesisClient.builder().endpointOverride(endpoint).build();
    tour();
    try (KinesisAsyncClient client = KinesisAsyncClient.builder().endpointOverride(endpoint).build()) {
      asynchronous(client);
    }
    kinesis.deleteStream(r -> r.streamName(stream));
    kinesis.waiter().waitUntilStreamNotExists(r -> r.streamName(stream));
  }
}
