// The Java client: one command of the matrix. See ../README.md for what each prints.
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;

public class Client {
    static final long T0 = Long.parseLong(System.getenv("MATRIX_T0"));

    static String key(int i) { return i % 7 == 0 && i % 11 != 10 ? null : "k" + i; }
    static String value(int i) { return i % 11 == 10 ? null : "v" + i + "-" + "x".repeat(i * 13 % 200); }

    static Map<String, Object> base(String bootstrap) {
        return new HashMap<>(Map.of("bootstrap.servers", bootstrap, "client.id", "java-matrix"));
    }

    static void produce(String bootstrap, String topic, String codecs, int count) throws Exception {
        int i = 0;
        for (String codec : codecs.split(",")) {
            Map<String, Object> config = base(bootstrap);
            config.put("compression.type", codec);
            config.put("linger.ms", 20);
            try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int end = i + count; i < end; i++) {
                    var record = new ProducerRecord<>(topic, i % 3, T0 + i * 1000L, key(i), value(i));
                    record.headers().add("h", ("" + i).getBytes(StandardCharsets.UTF_8)).add("e", new byte[0]);
                    sent.add(producer.send(record));
                }
                for (var s : sent) s.get();
            }
        }
        System.out.println("OK");
    }

    static void print(ConsumerRecord<String, String> r) {
        StringBuilder headers = new StringBuilder();
        for (Header h : r.headers()) {
            headers.append(h.key()).append('=').append(new String(h.value(), StandardCharsets.UTF_8)).append(';');
        }
        System.out.println(r.partition() + "\t" + r.offset() + "\t" + r.timestamp() + "\t"
            + Objects.requireNonNullElse(r.key(), "\\N") + "\t" + Objects.requireNonNullElse(r.value(), "\\N") + "\t" + headers);
    }

    static void consume(String bootstrap, String topic, int count) {
        Map<String, Object> config = base(bootstrap);
        config.put("auto.offset.reset", "earliest");
        config.put("client.rack", "zone-1");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (var p : consumer.partitionsFor(topic)) all.add(new TopicPartition(topic, p.partition()));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            for (int got = 0; got < count; ) {
                for (var r : consumer.poll(Duration.ofSeconds(10))) { print(r); got++; }
            }
            var p0 = new TopicPartition(topic, 0);
            var at = consumer.offsetsForTimes(Map.of(p0, T0 + 6_000L)).get(p0);
            check(at.offset() == 2 && at.timestamp() == T0 + 6_000L, "offsetsForTimes " + at);
        }
    }

    static void group(String bootstrap, String topic, String group, String protocol) throws Exception {
        Map<String, Object> config = base(bootstrap);
        config.put("group.id", group);
        config.put("group.protocol", protocol);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> p) { }
                public void onPartitionsAssigned(Collection<TopicPartition> p) { }
            });
            String last = "";
            while (System.in.available() == 0) {
                var records = consumer.poll(Duration.ofMillis(200));
                StringBuilder now = new StringBuilder("ASSIGNED");
                consumer.assignment().stream().map(TopicPartition::partition).sorted().forEach(p -> now.append(' ').append(p));
                if (!now.toString().equals(last)) System.out.println(last = now.toString());
                for (var r : records) print(r);
                if (!records.isEmpty()) consumer.commitSync();
                System.out.flush();
            }
        }
        System.out.println("LEFT");
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new IllegalStateException(what);
    }

    static Throwable cause(ExecutionException e) { return e.getCause(); }

    static void admin(String bootstrap, String topic) throws Exception {
        try (Admin admin = Admin.create(base(bootstrap))) {
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            var wanted = new NewTopic(topic, 3, (short) 3).configs(Map.of("retention.ms", "3600000", "segment.bytes", "16777216"));
            var made = admin.createTopics(List.of(wanted));
            made.all().get();
            check(made.numPartitions(topic).get() == 3 && made.replicationFactor(topic).get() == 3, "created as asked");
            check(made.config(topic).get().get("retention.ms").value().equals("3600000"), "config of the new topic");
            try {
                admin.createTopics(List.of(wanted)).all().get();
                check(false, "created twice");
            } catch (ExecutionException e) {
                check(cause(e) instanceof TopicExistsException, "twice: " + cause(e));
            }
            check(admin.listTopics().names().get().contains(topic), "listed");
            var description = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            check(description.partitions().size() == 3 && description.partitions().get(0).isr().size() == 3, "described: " + description);

            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("max.message.bytes", "200000"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("message.timestamp.type", "LogAppendTime"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE)))).all().get();
            var configs = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            // Any broker is asked, and learns of it a moment later.
            for (long until = System.currentTimeMillis() + 20_000;
                 !configs.get("max.message.bytes").value().equals("200000") && System.currentTimeMillis() < until;) {
                Thread.sleep(20);
                configs = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            }
            check(configs.get("max.message.bytes").value().equals("200000"), "altered: " + configs.get("max.message.bytes"));
            check(configs.get("max.message.bytes").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "its source");
            check(configs.get("retention.ms").source() == ConfigEntry.ConfigSource.DEFAULT_CONFIG, "taken back");
            check(configs.get("segment.bytes").value().equals("16777216"), "kept");
            long before = System.currentTimeMillis();
            Map<String, Object> p = base(bootstrap);
            try (var producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
                var sent = producer.send(new ProducerRecord<>(topic, 0, T0, "k", "v")).get();
                check(sent.timestamp() >= before, "append time " + sent.timestamp());
                for (int i = 0; i < 9; i++) producer.send(new ProducerRecord<>(topic, 0, null, "k", "v" + i));
                try {
                    producer.send(new ProducerRecord<>(topic, 0, null, "k", "v".repeat(300_000))).get();
                    check(false, "a record above max.message.bytes");
                } catch (ExecutionException e) {
                    check(cause(e) instanceof RecordTooLargeException, "too large: " + cause(e));
                }
            }
            for (var refused : Map.of("cleanup.policy", "compact", "no.such.config", "1").entrySet()) {
                try {
                    admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(
                        new ConfigEntry(refused.getKey(), refused.getValue()), AlterConfigOp.OpType.SET)))).all().get();
                    check(false, refused + " was taken");
                } catch (ExecutionException e) {
                    check(cause(e) instanceof InvalidConfigurationException && cause(e).getMessage().contains(refused.getKey()), "" + cause(e));
                }
            }
            var p0 = new TopicPartition(topic, 0);
            check(admin.deleteRecords(Map.of(p0, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(p0).get().lowWatermark() == 4, "deleted to 4");
            check(admin.listOffsets(Map.of(p0, OffsetSpec.earliest())).partitionResult(p0).get().offset() == 4, "earliest");
            check(admin.listOffsets(Map.of(p0, OffsetSpec.latest())).partitionResult(p0).get().offset() == 10, "latest");
            check(admin.listOffsets(Map.of(p0, OffsetSpec.maxTimestamp())).partitionResult(p0).get().offset() >= 4, "max timestamp");
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            check(admin.describeCluster().nodes().get().size() == 3, "nodes");
            var dirs = admin.describeLogDirs(List.of(0, 1, 2)).allDescriptions().get();
            check(dirs.size() == 3 && dirs.get(0).values().iterator().next().replicaInfos().containsKey(p0), "log dirs");
            check(admin.describeProducers(List.of(p0)).partitionResult(p0).get().activeProducers().size() == 1, "producers");
            check(admin.listConfigResources().all().get().contains(resource), "config resources");
            check(admin.listTransactions().all().get().isEmpty(), "transactions");
            check(admin.describeMetadataQuorum().quorumInfo().get().voters().size() == 1, "quorum");
            check(!admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.BROKER, "0"))).all().get().isEmpty(), "broker configs");
            admin.describeFeatures().featureMetadata().get();
            reassign(admin, p0);
            admin.deleteTopics(List.of(topic)).all().get();
            check(!admin.listTopics().names().get().contains(topic), "gone");
        }
        System.out.println("OK");
    }

    // Another order of the same brokers, then the first of them as the leader.
    static void reassign(Admin admin, TopicPartition p0) throws Exception {
        var now = admin.describeTopics(List.of(p0.topic())).allTopicNames().get().get(p0.topic()).partitions().get(0);
        List<Integer> order = new ArrayList<>(now.replicas().stream().map(Node::id).toList());
        Collections.reverse(order);
        admin.alterPartitionReassignments(Map.of(p0, Optional.of(new NewPartitionReassignment(order)))).all().get();
        check(admin.listPartitionReassignments().reassignments().get().isEmpty(), "nothing has to move");
        var after = admin.describeTopics(List.of(p0.topic())).allTopicNames().get().get(p0.topic()).partitions().get(0);
        check(after.replicas().stream().map(Node::id).toList().equals(order), "ordered " + after);
        var result = admin.electLeaders(ElectionType.PREFERRED, Set.of(p0)).partitions().get().get(p0);
        check(result.isEmpty() || result.get() instanceof ElectionNotNeededException, "elected: " + result);
        after = admin.describeTopics(List.of(p0.topic())).allTopicNames().get().get(p0.topic()).partitions().get(0);
        check(after.leader().id() == order.get(0), "led by the preferred: " + after);
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> produce(args[1], args[2], args[3], Integer.parseInt(args[4]));
            case "consume" -> consume(args[1], args[2], Integer.parseInt(args[3]));
            case "group" -> group(args[1], args[2], args[3], args[4]);
            default -> admin(args[1], args[2]);
        }
    }
}
