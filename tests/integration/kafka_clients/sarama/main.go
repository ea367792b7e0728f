// sarama: one command of the matrix. See ../README.md for what each prints.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

var t0, _ = strconv.ParseInt(os.Getenv("MATRIX_T0"), 10, 64)

func must(err error, what string) {
	if err != nil {
		fmt.Fprintln(os.Stderr, what+":", err)
		os.Exit(1)
	}
}

func check(holds bool, what string) {
	if !holds {
		fmt.Fprintln(os.Stderr, what)
		os.Exit(1)
	}
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V4_0_0_0
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = 200 * time.Millisecond
	config.RackID = "zone-0"
	return config
}

func text(v []byte) string {
	if v == nil {
		return "\\N"
	}
	return string(v)
}

func show(m *sarama.ConsumerMessage) {
	headers := ""
	for _, h := range m.Headers {
		headers += string(h.Key) + "=" + string(h.Value) + ";"
	}
	fmt.Printf("%d\t%d\t%d\t%s\t%s\t%s\n", m.Partition, m.Offset, m.Timestamp.UnixMilli(), text(m.Key), text(m.Value), headers)
}

func produce(bootstrap []string, topic, codecs string, count int) {
	i := 0
	for _, name := range strings.Split(codecs, ",") {
		config := settings()
		must(config.Producer.Compression.UnmarshalText([]byte(name)), "codec")
		producer, err := sarama.NewSyncProducer(bootstrap, config)
		must(err, "producer")
		var messages []*sarama.ProducerMessage
		for end := i + count; i < end; i++ {
			m := &sarama.ProducerMessage{Topic: topic, Partition: int32(i % 3), Timestamp: time.UnixMilli(t0 + int64(i)*1000)}
			if i%7 != 0 || i%11 == 10 {
				m.Key = sarama.StringEncoder("k" + strconv.Itoa(i))
			}
			if i%11 != 10 {
				m.Value = sarama.StringEncoder("v" + strconv.Itoa(i) + "-" + strings.Repeat("x", i*13%200))
			}
			m.Headers = []sarama.RecordHeader{{Key: []byte("h"), Value: []byte(strconv.Itoa(i))}, {Key: []byte("e"), Value: []byte{}}}
			messages = append(messages, m)
		}
		must(producer.SendMessages(messages), "produce "+name)
		must(producer.Close(), "close")
	}
	fmt.Println("OK")
}

func consume(bootstrap []string, topic string, count int) {
	consumer, err := sarama.NewConsumer(bootstrap, settings())
	must(err, "consumer")
	partitions, err := consumer.Partitions(topic)
	must(err, "partitions")
	messages := make(chan *sarama.ConsumerMessage)
	for _, p := range partitions {
		part, err := consumer.ConsumePartition(topic, p, sarama.OffsetOldest)
		must(err, "partition")
		go func() {
			for m := range part.Messages() {
				messages <- m
			}
		}()
	}
	for got := 0; got < count; got++ {
		select {
		case m := <-messages:
			show(m)
		case <-time.After(30 * time.Second):
			check(false, fmt.Sprintf("only %d records", got))
		}
	}
}

type handler struct {
	lock sync.Mutex
}

func (h *handler) say(line string) {
	h.lock.Lock()
	defer h.lock.Unlock()
	fmt.Println(line)
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	line := "ASSIGNED"
	for _, parts := range session.Claims() {
		sort.Slice(parts, func(i, j int) bool { return parts[i] < parts[j] })
		for _, p := range parts {
			line += " " + strconv.Itoa(int(p))
		}
	}
	h.say(line)
	return nil
}
func (h *handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			h.lock.Lock()
			show(m)
			h.lock.Unlock()
			session.MarkMessage(m, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func group(bootstrap []string, topic, name string) {
	client, err := sarama.NewConsumerGroup(bootstrap, name, settings())
	must(err, "group")
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	h := &handler{}
	for ctx.Err() == nil {
		if err := client.Consume(ctx, []string{topic}, h); err != nil && ctx.Err() == nil {
			must(err, "consume")
		}
	}
	must(client.Close(), "close")
	fmt.Println("LEFT")
}

func admin(bootstrap []string, topic string) {
	a, err := sarama.NewClusterAdmin(bootstrap, settings())
	must(err, "admin")
	retention, max := "3600000", "200000"
	must(a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 3,
		ConfigEntries: map[string]*string{"retention.ms": &retention}}, false), "create")
	topics, err := a.ListTopics()
	must(err, "list")
	check(topics[topic].NumPartitions == 3, "listed")
	must(a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"max.message.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &max}}, false), "alter")
	altered := false // any broker is asked, and learns of it a moment later
	for deadline := time.Now().Add(20 * time.Second); !altered && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"max.message.bytes"}})
		must(err, "describe config")
		altered = len(entries) == 1 && entries[0].Value == max
	}
	check(altered, "altered")
	must(a.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &retention}, false), "legacy alter")
	must(a.CreatePartitions(topic, 5, nil, false), "grow")
	_, controller, err := a.DescribeCluster()
	must(err, "cluster")
	check(controller >= 0, "a controller")
	dirs, err := a.DescribeLogDirs([]int32{0, 1, 2})
	must(err, "log dirs")
	check(len(dirs) == 3, "dirs of three brokers")
	must(a.DeleteRecords(topic, map[int32]int64{0: 0}), "delete records")
	_, err = a.ListPartitionReassignments(topic, []int32{0})
	must(err, "reassignments")
	must(a.DeleteTopic(topic), "delete")
	must(a.Close(), "close")
	fmt.Println("OK")
}

func main() {
	args := os.Args
	bootstrap := strings.Split(args[2], ",")
	switch args[1] {
	case "produce":
		count, _ := strconv.Atoi(args[5])
		produce(bootstrap, args[3], args[4], count)
	case "consume":
		count, _ := strconv.Atoi(args[4])
		consume(bootstrap, args[3], count)
	case "group":
		group(bootstrap, args[3], args[4])
	default:
		admin(bootstrap, args[3])
	}
}
