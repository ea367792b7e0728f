// Asks a cluster what a client could notice, one line a question: "name<TAB>answer". Run against Apache
// Kafka and against Sluice by ./run, which compares the lines. Names of brokers, ids and times are left out.
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

public class Probes {
    interface Ask { Object ask() throws Exception; }

    static String servers;
    static Admin admin;

    static void probe(String name, Ask ask) {
        String answer;
        try {
            answer = String.valueOf(ask.ask());
        } catch (Throwable e) {
            while ((e instanceof ExecutionException || e instanceof KafkaException && e.getCause() instanceof KafkaException) && e.getCause() != null) e = e.getCause();
            answer = e.getClass().getSimpleName();
        }
        System.out.println(name + "\t" + answer.replace('\n', ' '));
        System.out.flush();
    }

    static <T> T get(KafkaFuture<T> future) throws Exception { return future.get(30, TimeUnit.SECONDS); }

    static Map<String, Object> base() {
        return new HashMap<>(Map.of("bootstrap.servers", servers, "request.timeout.ms", 15000, "default.api.timeout.ms", 20000));
    }

    static KafkaProducer<String, String> producer(Object... more) {
        Map<String, Object> config = base();
        config.put("delivery.timeout.ms", 20000);
        config.put("max.block.ms", 10000);
        for (int i = 0; i < more.length; i += 2) config.put((String) more[i], more[i + 1]);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(Object... more) {
        Map<String, Object> config = base();
        config.put("auto.offset.reset", "earliest");
        for (int i = 0; i < more.length; i += 2) config.put((String) more[i], more[i + 1]);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static String send(String topic, Integer partition, Long timestamp, String key, String value, Object... more) throws Exception {
        try (var p = producer(more)) {
            var m = p.send(new ProducerRecord<>(topic, partition, timestamp, key, value)).get(30, TimeUnit.SECONDS);
            return "partition " + m.partition() + " offset " + m.offset() + (timestamp != null && m.timestamp() == timestamp ? " own time" : " broker's time");
        }
    }

    static String read(String topic, long from, int count, Object... more) {
        try (var c = consumer(more)) {
            var p = new TopicPartition(topic, 0);
            c.assign(List.of(p));
            c.seek(p, from);
            List<String> got = new ArrayList<>();
            long end = System.currentTimeMillis() + 10_000;
            while (got.size() < count && System.currentTimeMillis() < end) {
                for (var r : c.poll(Duration.ofMillis(200))) {
                    got.add(r.offset() + ":" + r.key() + "=" + r.value() + Arrays.stream(r.headers().toArray()).map(h -> h.key() + "/" + (h.value() == null ? "null" : new String(h.value()))).toList() + r.timestampType() + r.leaderEpoch().isPresent());
                }
            }
            return got.toString();
        }
    }

    static String create(String topic, Optional<Integer> partitions, Optional<Short> replicas, Map<String, String> configs) throws Exception {
        var made = admin.createTopics(List.of(new NewTopic(topic, partitions, replicas).configs(configs)));
        get(made.all());
        return get(made.numPartitions(topic)) + " partitions, " + get(made.replicationFactor(topic)) + " replicas, id " + !get(made.topicId(topic)).equals(Uuid.ZERO_UUID);
    }

    static ConfigResource topic(String name) { return new ConfigResource(ConfigResource.Type.TOPIC, name); }

    static String alter(String name, String key, String value, AlterConfigOp.OpType op) throws Exception {
        get(admin.incrementalAlterConfigs(Map.of(topic(name), List.of(new AlterConfigOp(new ConfigEntry(key, value), op)))).all());
        return config(name, key);
    }

    static String config(String name, String key) throws Exception {
        // Brokers hear of a change a moment after the controller has said yes.
        Thread.sleep(300);
        var all = get(admin.describeConfigs(List.of(topic(name)), new DescribeConfigsOptions().includeSynonyms(true)).all()).get(topic(name));
        var e = all.get(key);
        return e == null ? "absent" : e.value() + " " + e.source() + " " + e.type() + " sensitive " + e.isSensitive();
    }

    static String offset(String topic, OffsetSpec spec) throws Exception {
        var p = new TopicPartition(topic, 0);
        var r = get(admin.listOffsets(Map.of(p, spec)).partitionResult(p));
        return r.offset() + " at " + (r.timestamp() < 0 ? r.timestamp() : "a time") + " epoch " + r.leaderEpoch().isPresent();
    }

    static void topics() throws Exception {
        probe("create", () -> create("d1", Optional.of(2), Optional.of((short) 1), Map.of()));
        probe("create with defaults", () -> create("d2", Optional.empty(), Optional.empty(), Map.of()));
        probe("create twice", () -> create("d1", Optional.of(2), Optional.of((short) 1), Map.of()));
        for (String name : List.of("", ".", "..", "a b", "a/b", "ü", "x".repeat(249), "x".repeat(250))) {
            probe("create named " + (name.length() > 20 ? name.length() + " letters" : "'" + name + "'"), () -> create(name, Optional.of(1), Optional.of((short) 1), Map.of()));
        }
        probe("create with 0 partitions", () -> create("d3", Optional.of(0), Optional.of((short) 1), Map.of()));
        probe("create with 9 replicas", () -> create("d3", Optional.of(1), Optional.of((short) 9), Map.of()));
        probe("create with 0 replicas", () -> create("d3", Optional.of(1), Optional.of((short) 0), Map.of()));
        probe("create with an unknown config", () -> create("d3", Optional.of(1), Optional.of((short) 1), Map.of("no.such", "1")));
        probe("create with a bad value", () -> create("d3", Optional.of(1), Optional.of((short) 1), Map.of("retention.ms", "x")));
        probe("create with an assignment", () -> { get(admin.createTopics(List.of(new NewTopic("d4", Map.of(0, List.of(Integer.parseInt(System.getProperty("broker"))))))).all()); return "made"; });
        probe("create only validated", () -> { get(admin.createTopics(List.of(new NewTopic("d5", 1, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all()); return get(admin.listTopics().names()).contains("d5"); });
        probe("list", () -> get(admin.listTopics().names()).containsAll(Set.of("d1", "d2")));
        probe("describe", () -> { var d = get(admin.describeTopics(List.of("d1")).allTopicNames()).get("d1"); return d.isInternal() + " " + d.partitions().stream().map(p -> p.partition() + ":" + p.replicas().size() + "/" + p.isr().size() + "/" + p.elr() + "/" + p.lastKnownElr()).toList() + d.authorizedOperations(); });
        probe("describe with rights", () -> get(admin.describeTopics(List.of("d1"), new DescribeTopicsOptions().includeAuthorizedOperations(true)).allTopicNames()).get("d1").authorizedOperations() != null);
        probe("describe an unknown topic", () -> get(admin.describeTopics(List.of("none")).allTopicNames()));
        probe("describe an unknown id", () -> get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds()));
        probe("grow", () -> { get(admin.createPartitions(Map.of("d2", NewPartitions.increaseTo(3))).all()); return "grown"; });
        probe("grow to the same", () -> get(admin.createPartitions(Map.of("d2", NewPartitions.increaseTo(3))).all()));
        probe("shrink", () -> get(admin.createPartitions(Map.of("d2", NewPartitions.increaseTo(1))).all()));
        probe("grow an unknown topic", () -> get(admin.createPartitions(Map.of("none", NewPartitions.increaseTo(3))).all()));
        probe("delete", () -> { get(admin.deleteTopics(List.of("d2")).all()); return "deleted"; });
        probe("delete an unknown topic", () -> get(admin.deleteTopics(List.of("none")).all()));
        probe("delete an unknown id", () -> get(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).all()));
    }

    static void configs() throws Exception {
        create("c1", Optional.of(1), Optional.of((short) 1), Map.of());
        Set<String> names = new TreeSet<>();
        for (var e : get(admin.describeConfigs(List.of(topic("c1"))).all()).get(topic("c1")).entries()) names.add(e.name());
        for (String name : List.of("cleanup.policy", "compression.gzip.level", "compression.lz4.level", "compression.type", "compression.zstd.level", "delete.retention.ms", "file.delete.delay.ms", "flush.messages", "flush.ms", "follower.replication.throttled.replicas", "index.interval.bytes", "leader.replication.throttled.replicas", "local.retention.bytes", "local.retention.ms", "max.compaction.lag.ms", "max.message.bytes", "message.timestamp.after.max.ms", "message.timestamp.before.max.ms", "message.timestamp.type", "min.cleanable.dirty.ratio", "min.compaction.lag.ms", "min.insync.replicas", "preallocate", "remote.log.copy.disable", "remote.log.delete.on.disable", "remote.storage.enable", "retention.bytes", "retention.ms", "segment.bytes", "segment.index.bytes", "segment.jitter.ms", "segment.ms", "unclean.leader.election.enable")) {
            probe("config " + name, () -> config("c1", name));
            names.remove(name);
        }
        probe("other configs", () -> names);
        for (String[] c : new String[][] {{"retention.ms", "60000"}, {"retention.ms", "-1"}, {"retention.ms", "0"}, {"retention.ms", "-2"}, {"retention.ms", "x"}, {"retention.bytes", "1000000"}, {"max.message.bytes", "2000"}, {"max.message.bytes", "-1"}, {"min.insync.replicas", "1"}, {"min.insync.replicas", "0"}, {"segment.bytes", "2097152"}, {"segment.bytes", "10"}, {"segment.ms", "1000"}, {"message.timestamp.type", "LogAppendTime"}, {"message.timestamp.type", "never"}, {"cleanup.policy", "compact"}, {"cleanup.policy", "delete"}, {"cleanup.policy", "burn"}, {"compression.type", "lz4"}, {"compression.type", "producer"}, {"compression.type", "zip"}, {"unclean.leader.election.enable", "maybe"}, {"preallocate", "true"}, {"min.cleanable.dirty.ratio", "0.7"}, {"min.cleanable.dirty.ratio", "2"}, {"flush.ms", "5"}, {"no.such", "1"}}) {
            probe("set " + c[0] + "=" + c[1], () -> alter("c1", c[0], c[1], AlterConfigOp.OpType.SET));
        }
        probe("unset retention.ms", () -> alter("c1", "retention.ms", "", AlterConfigOp.OpType.DELETE));
        probe("unset what is not set", () -> alter("c1", "delete.retention.ms", "", AlterConfigOp.OpType.DELETE));
        probe("append to a list", () -> alter("c1", "cleanup.policy", "delete", AlterConfigOp.OpType.APPEND));
        probe("append to a number", () -> alter("c1", "retention.ms", "1", AlterConfigOp.OpType.APPEND));
        probe("alter an unknown topic", () -> alter("none", "retention.ms", "1", AlterConfigOp.OpType.SET));
        probe("describe an unknown topic's", () -> get(admin.describeConfigs(List.of(topic("none"))).all()));
        probe("a broker's node.id", () -> { var r = new ConfigResource(ConfigResource.Type.BROKER, System.getProperty("broker")); return get(admin.describeConfigs(List.of(r)).all()).get(r).get("node.id").value().equals(System.getProperty("broker")); });
        probe("another broker's", () -> get(admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.BROKER, "77"))).all()));
        probe("list resources", () -> get(admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions()).all()).contains(topic("c1")));
    }

    static void records() throws Exception {
        create("r1", Optional.of(1), Optional.of((short) 1), Map.of());
        long now = System.currentTimeMillis();
        probe("earliest of nothing", () -> offset("r1", OffsetSpec.earliest()));
        probe("latest of nothing", () -> offset("r1", OffsetSpec.latest()));
        probe("maximum timestamp of nothing", () -> offset("r1", OffsetSpec.maxTimestamp()));
        probe("produce", () -> send("r1", 0, now - 5000, "k", "v"));
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd")) probe("produce " + codec, () -> send("r1", 0, now - 4000, "k", codec, "compression.type", codec));
        probe("produce acks=1", () -> send("r1", 0, now - 3000, "k", "one", "acks", "1", "enable.idempotence", false));
        probe("produce acks=0", () -> { send("r1", 0, now - 3000, "k", "zero", "acks", "0", "enable.idempotence", false); return "sent"; });
        probe("produce nulls", () -> send("r1", 0, now - 2000, null, null));
        probe("produce headers", () -> { try (var p = producer()) { var r = new ProducerRecord<String, String>("r1", 0, now - 1000, "h", "v", List.of(new RecordHeader("a", "1".getBytes()), new RecordHeader("a", null))); return p.send(r).get().offset(); } });
        probe("produce 900 KB", () -> send("r1", 0, now, "big", "x".repeat(900_000)));
        probe("produce 2 MB", () -> send("r1", 0, now, "big", "x".repeat(2_000_000), "max.request.size", 5_000_000));
        probe("produce in 2 hours", () -> send("r1", 0, now + 7_200_000, "k", "later"));
        probe("produce before 1971", () -> send("r1", 0, 1_000_000L, "k", "early"));
        probe("produce to partition 7", () -> send("r1", 7, now, "k", "v"));
        probe("produce to an illegal topic", () -> send("a b", 0, now, "k", "v"));
        probe("produce to a missing topic", () -> send("made-by-asking", 0, now, "k", "v"));
        probe("what was produced", () -> read("r1", 0, 9));
        probe("read committed", () -> read("r1", 5, 4, "isolation.level", "read_committed"));
        probe("read beyond the end", () -> { try (var c = consumer("auto.offset.reset", "none")) { var p = new TopicPartition("r1", 0); c.assign(List.of(p)); c.seek(p, 1000); return c.poll(Duration.ofSeconds(5)).count(); } });
        probe("earliest", () -> offset("r1", OffsetSpec.earliest()));
        probe("latest", () -> offset("r1", OffsetSpec.latest()));
        probe("by timestamp", () -> offset("r1", OffsetSpec.forTimestamp(now - 3500)));
        probe("by a timestamp after all", () -> offset("r1", OffsetSpec.forTimestamp(now + 3_000_000)));
        probe("earliest local", () -> offset("r1", OffsetSpec.earliestLocal()));
        probe("latest tiered", () -> offset("r1", OffsetSpec.latestTiered()));
        probe("offsets of partition 7", () -> { var p = new TopicPartition("r1", 7); return get(admin.listOffsets(Map.of(p, OffsetSpec.latest()), new ListOffsetsOptions().timeoutMs(3000)).partitionResult(p)); });
        probe("delete records", () -> { var p = new TopicPartition("r1", 0); return get(admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(p)).lowWatermark(); });
        probe("delete too many", () -> { var p = new TopicPartition("r1", 0); return get(admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(1000))).lowWatermarks().get(p)).lowWatermark(); });
        probe("delete all", () -> { var p = new TopicPartition("r1", 0); return get(admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(p)).lowWatermark() > 3; });
        probe("a transaction", () -> { try (var p = producer("transactional.id", "tx", "transaction.timeout.ms", 5000, "max.block.ms", 5000)) { p.initTransactions(); return "begun"; } });
        probe("producers", () -> get(admin.describeProducers(List.of(new TopicPartition("r1", 0))).partitionResult(new TopicPartition("r1", 0))).activeProducers().stream().map(s -> s.producerEpoch() + "/" + s.currentTransactionStartOffset()).collect(Collectors.toSet()));
    }

    static void cluster() throws Exception {
        int broker = Integer.parseInt(System.getProperty("broker"));
        var p = new TopicPartition("c1", 0);
        probe("cluster", () -> { var c = admin.describeCluster(); return get(c.nodes()).size() + " " + (get(c.controller()).id() == broker) + " " + (get(c.clusterId()) != null); });
        probe("log dirs", () -> get(admin.describeLogDirs(List.of(broker)).allDescriptions()).get(broker).values().stream().map(d -> d.error() + " " + d.replicaInfos().containsKey(p) + " " + d.totalBytes().isPresent()).toList());
        probe("reassign to the same", () -> { get(admin.alterPartitionReassignments(Map.of(p, Optional.of(new NewPartitionReassignment(List.of(broker))))).all()); return get(admin.listPartitionReassignments().reassignments()); });
        probe("reassign to nobody", () -> get(admin.alterPartitionReassignments(Map.of(p, Optional.of(new NewPartitionReassignment(List.of(77))))).all()));
        probe("cancel no reassignment", () -> get(admin.alterPartitionReassignments(Map.of(p, Optional.empty())).all()));
        probe("elect the preferred", () -> get(admin.electLeaders(ElectionType.PREFERRED, Set.of(p)).partitions()).get(p).map(e -> e.getClass().getSimpleName()));
        probe("elect all", () -> get(admin.electLeaders(ElectionType.PREFERRED, null).partitions()));
        probe("elect of an unknown topic", () -> get(admin.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition("none", 0))).partitions()).values().iterator().next().map(e -> e.getClass().getSimpleName()));
        probe("quorum", () -> { var q = get(admin.describeMetadataQuorum().quorumInfo()); return (q.leaderId() == broker) + " " + q.voters().size() + " " + q.observers().size(); });
        probe("features", () -> get(admin.describeFeatures().featureMetadata()).finalizedFeatures().keySet().stream().sorted().toList());
        probe("raise an unknown feature", () -> get(admin.updateFeatures(Map.of("no.such", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all()));
        probe("unregister an unknown broker", () -> get(admin.unregisterBroker(77).all()));
        probe("transactions", () -> get(admin.listTransactions().all()).stream().filter(t -> !t.transactionalId().equals("tx")).toList());
        probe("an unknown transaction", () -> get(admin.describeTransactions(List.of("none")).description("none")));
        probe("client metrics", () -> get(admin.listConfigResources(Set.of(ConfigResource.Type.CLIENT_METRICS), new ListConfigResourcesOptions()).all()));
    }

    public static void main(String[] args) throws Exception {
        servers = args[0];
        try (Admin a = Admin.create(base())) {
            admin = a;
            topics();
            configs();
            records();
            cluster();
        }
    }
}
