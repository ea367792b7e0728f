// franz-go: one command of the matrix. See ../README.md for what each prints.
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

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
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

func codec(name string) kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[name]
}

func text(v []byte) string {
	if v == nil {
		return "\\N"
	}
	return string(v)
}

func show(r *kgo.Record) {
	headers := ""
	for _, h := range r.Headers {
		headers += h.Key + "=" + string(h.Value) + ";"
	}
	fmt.Printf("%d\t%d\t%d\t%s\t%s\t%s\n", r.Partition, r.Offset, r.Timestamp.UnixMilli(), text(r.Key), text(r.Value), headers)
}

func produce(ctx context.Context, bootstrap []string, topic, codecs string, count int) {
	i := 0
	for _, name := range strings.Split(codecs, ",") {
		client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...), kgo.ProducerBatchCompression(codec(name)),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond))
		must(err, "client")
		var records []*kgo.Record
		for end := i + count; i < end; i++ {
			r := &kgo.Record{Topic: topic, Partition: int32(i % 3), Timestamp: time.UnixMilli(t0 + int64(i)*1000)}
			if i%7 != 0 || i%11 == 10 {
				r.Key = []byte("k" + strconv.Itoa(i))
			}
			if i%11 != 10 {
				r.Value = []byte("v" + strconv.Itoa(i) + "-" + strings.Repeat("x", i*13%200))
			}
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte(strconv.Itoa(i))}, {Key: "e", Value: []byte{}}}
			records = append(records, r)
		}
		must(client.ProduceSync(ctx, records...).FirstErr(), "produce "+name)
		client.Close()
	}
	fmt.Println("OK")
}

func consume(ctx context.Context, bootstrap []string, topic string, count int) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...), kgo.ConsumeTopics(topic), kgo.Rack("zone-2"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err, "client")
	defer client.Close()
	for got := 0; got < count; {
		fetches := client.PollFetches(ctx)
		must(fetches.Err(), "fetch")
		fetches.EachRecord(func(r *kgo.Record) { show(r); got++ })
	}
}

func group(ctx context.Context, bootstrap []string, topic, group string) {
	var lock sync.Mutex
	mine := map[int]bool{}
	change := func(now bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			lock.Lock()
			defer lock.Unlock()
			for _, p := range parts[topic] {
				delete(mine, int(p))
				if now {
					mine[int(p)] = true
				}
			}
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))
	must(err, "client")
	stop := make(chan bool)
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(stop)
	}()
	last := ""
	for {
		select {
		case <-stop:
			client.Close()
			fmt.Println("LEFT")
			return
		default:
		}
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		fetches := client.PollFetches(poll)
		cancel()
		parts := []int{}
		lock.Lock()
		for p := range mine {
			parts = append(parts, p)
		}
		lock.Unlock()
		sort.Ints(parts)
		now := "ASSIGNED"
		for _, p := range parts {
			now += " " + strconv.Itoa(p)
		}
		if now != last {
			fmt.Println(now)
			last = now
		}
		fetches.EachRecord(show)
		if fetches.NumRecords() > 0 {
			must(client.CommitUncommittedOffsets(ctx), "commit")
		}
	}
}

func admin(ctx context.Context, bootstrap []string, topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...))
	must(err, "client")
	defer client.Close()
	a := kadm.NewClient(client)
	retention, max := "3600000", "200000"
	made, err := a.CreateTopic(ctx, 3, 3, map[string]*string{"retention.ms": &retention}, topic)
	must(err, "create")
	check(made.NumPartitions == 3 && made.ReplicationFactor == 3, "created as asked")
	topics, err := a.ListTopics(ctx)
	must(err, "list")
	check(topics.Has(topic), "listed")
	_, err = a.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &max}, {Op: kadm.DeleteConfig, Name: "retention.ms"}}, topic)
	must(err, "alter")
	altered := false // any broker is asked, and learns of it a moment later
	for deadline := time.Now().Add(20 * time.Second); !altered && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		configs, err := a.DescribeTopicConfigs(ctx, topic)
		must(err, "describe configs")
		for _, c := range configs[0].Configs {
			altered = altered || (c.Key == "max.message.bytes" && c.MaybeValue() == max)
		}
	}
	check(altered, "altered")
	grown, err := a.UpdatePartitions(ctx, 5, topic)
	must(err, "grow")
	must(grown.Error(), "grow")
	ends, err := a.ListEndOffsets(ctx, topic)
	must(err, "offsets")
	must(ends.Error(), "offsets")
	check(len(ends[topic]) == 5, "five partitions")
	_, err = a.DescribeAllLogDirs(ctx, nil)
	must(err, "log dirs")
	versions, err := a.ApiVersions(ctx)
	must(err, "versions")
	check(len(versions) == 3, "versions of three brokers")
	_, err = a.DeleteTopic(ctx, topic)
	must(err, "delete")
	fmt.Println("OK")
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	args := os.Args
	bootstrap := strings.Split(args[2], ",")
	switch args[1] {
	case "produce":
		count, _ := strconv.Atoi(args[5])
		produce(ctx, bootstrap, args[3], args[4], count)
	case "consume":
		count, _ := strconv.Atoi(args[4])
		consume(ctx, bootstrap, args[3], count)
	case "group":
		group(ctx, bootstrap, args[3], args[4])
	default:
		admin(ctx, bootstrap, args[3])
	}
}
