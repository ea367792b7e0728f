// Many members of many groups in one process, all of one topic. See run.
//
//	usage: members SERVERS TOPIC PARTITIONS GROUPS MEMBERS classic|consumer
//
// Prints "joined SECONDS" when every group has each partition exactly once, and reads a line. With more
// than one member a group: one of each group leaves ("left SECONDS", when the others have everything),
// and a new one joins ("grown SECONDS", when it has its part and each partition is read once); it reads
// a line after each.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type member struct {
	client *kgo.Client
	mine   map[int32]bool
}

type group struct {
	name    string
	members []*member
}

type world struct {
	lock       sync.Mutex // of every member's `mine`
	changed    *sync.Cond
	servers    []string
	topic      string
	partitions int
	consumer   bool
}

func must(err error, what string) {
	if err != nil {
		fmt.Fprintln(os.Stderr, what+":", err)
		os.Exit(1)
	}
}

func (w *world) join(g *group) *member {
	m := &member{mine: map[int32]bool{}}
	take := func(add bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
			w.lock.Lock()
			defer w.lock.Unlock()
			for _, p := range topics[w.topic] {
				if add {
					m.mine[p] = true
				} else {
					delete(m.mine, p)
				}
			}
			w.changed.Broadcast()
		}
	}
	ctx := context.Background()
	if w.consumer {
		// The library asks for this until it calls KIP-848 finished.
		ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true) //nolint:staticcheck
	}
	client, err := kgo.NewClient(kgo.WithContext(ctx), kgo.SeedBrokers(w.servers...), kgo.ConsumerGroup(g.name),
		kgo.ConsumeTopics(w.topic), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.OnPartitionsAssigned(take(true)), kgo.OnPartitionsRevoked(take(false)), kgo.OnPartitionsLost(take(false)),
		kgo.DisableAutoCommit())
	must(err, "client")
	m.client = client
	w.lock.Lock()
	g.members = append(g.members, m)
	w.lock.Unlock()
	return m
}

// Each partition is one member's, and every member that can has one. Under the lock.
func (w *world) complete(g *group) bool {
	owned, idle := 0, 0
	seen := map[int32]bool{}
	for _, m := range g.members {
		owned += len(m.mine)
		if len(m.mine) == 0 {
			idle++
		}
		for p := range m.mine {
			seen[p] = true
		}
	}
	return owned == w.partitions && len(seen) == w.partitions && idle == max(0, len(g.members)-w.partitions)
}

func (w *world) waitComplete(groups []*group) {
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, g := range groups {
		for !w.complete(g) {
			w.changed.Wait()
		}
	}
}

func main() {
	partitions, err := strconv.Atoi(os.Args[3])
	must(err, "PARTITIONS")
	groupCount, err := strconv.Atoi(os.Args[4])
	must(err, "GROUPS")
	memberCount, err := strconv.Atoi(os.Args[5])
	must(err, "MEMBERS")
	w := &world{servers: strings.Split(os.Args[1], ","), topic: os.Args[2], partitions: partitions, consumer: os.Args[6] == "consumer"}
	w.changed = sync.NewCond(&w.lock)
	in := bufio.NewReader(os.Stdin)
	var groups []*group
	run := func(what string, do func()) {
		began := time.Now()
		do()
		w.waitComplete(groups)
		fmt.Printf("%s %.3f\n", what, time.Since(began).Seconds())
		_, err := in.ReadString('\n')
		must(err, "stdin")
	}
	run("joined", func() {
		for i := 0; i < groupCount; i++ {
			g := &group{name: fmt.Sprintf("%s-%s-%d", w.topic, os.Args[6], i)}
			groups = append(groups, g)
			for j := 0; j < memberCount; j++ {
				w.join(g)
			}
		}
	})
	if memberCount == 1 {
		return
	}
	run("left", func() {
		for _, g := range groups {
			w.lock.Lock()
			leaver := g.members[0]
			g.members = g.members[1:]
			w.lock.Unlock()
			leaver.client.Close()
		}
	})
	run("grown", func() {
		for _, g := range groups {
			w.join(g)
		}
	})
}
