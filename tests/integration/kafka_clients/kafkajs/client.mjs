// KafkaJS: one command of the matrix. See ../README.md for what each prints. KafkaJS brings gzip;
// snappy is a package, lz4 and zstd would need native ones.
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = snappy
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
const T0 = Number(process.env.MATRIX_T0)

const [command, bootstrap, topic, ...rest] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'kafkajs-matrix', brokers: bootstrap.split(','), logLevel: logLevel.ERROR })

function check(holds, what) {
  if (!holds) throw new Error(what)
}

function show(partition, message) {
  const text = v => (v === null ? '\\N' : v.toString())
  const headers = Object.entries(message.headers).map(([k, v]) => `${k}=${v};`).join('')
  console.log([partition, message.offset, message.timestamp, text(message.key), text(message.value), headers].join('\t'))
}

async function produce(codecs, count) {
  let i = 0
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const codec of codecs.split(',')) {
    const messages = []
    for (const end = i + Number(count); i < end; i++) {
      messages.push({
        partition: i % 3,
        key: i % 7 === 0 && i % 11 !== 10 ? null : `k${i}`,
        value: i % 11 === 10 ? null : `v${i}-${'x'.repeat((i * 13) % 200)}`,
        timestamp: String(T0 + i * 1000),
        headers: { h: String(i), e: '' },
      })
    }
    await producer.send({ topic, compression: CODECS[codec], messages })
  }
  await producer.disconnect()
  console.log('OK')
}

async function consume(count, group = `consume-${topic}-${process.pid}`) {
  const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 200, rackId: 'zone-2' })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let got = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, e => reject(e.payload.error))
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        show(partition, message)
        if (++got === Number(count)) resolve()
      },
    })
  })
  await consumer.disconnect()
}

async function group(name) {
  const consumer = kafka.consumer({ groupId: name, maxWaitTimeInMs: 200, rebalanceTimeout: 10000, heartbeatInterval: 500 })
  consumer.on(consumer.events.GROUP_JOIN, e => {
    const mine = (e.payload.memberAssignment[topic] ?? []).slice().sort()
    console.log(['ASSIGNED', ...mine].join(' '))
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ partition, message }) => show(partition, message) })
  await new Promise(resolve => process.stdin.once('data', resolve).once('end', resolve))
  await consumer.disconnect()
  console.log('LEFT')
}

async function admin() {
  const a = kafka.admin()
  await a.connect()
  check(await a.createTopics({
    waitForLeaders: true,
    topics: [{ topic, numPartitions: 3, replicationFactor: 3, configEntries: [{ name: 'retention.ms', value: '3600000' }] }],
  }), 'created')
  check((await a.listTopics()).includes(topic), 'listed')
  await a.alterConfigs({
    validateOnly: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'max.message.bytes', value: '200000' }] }],
  })
  const described = await a.describeConfigs({ includeSynonyms: true, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] })
  const value = name => described.resources[0].configEntries.find(c => c.configName === name).configValue
  check(value('max.message.bytes') === '200000', 'altered')
  check(value('retention.ms') === '604800000', 'the legacy request replaces all settings')
  await a.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  check((await a.fetchTopicOffsets(topic)).length === 5, 'five partitions')
  await a.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '0' }] })
  check((await a.describeCluster()).brokers.length === 3, 'three brokers')
  await a.listPartitionReassignments({})
  await a.deleteTopics({ topics: [topic] })
  await a.disconnect()
  console.log('OK')
}

try {
  await { produce, consume, group, admin }[command](...rest)
  process.exit(0)
} catch (error) {
  console.error(error)
  process.exit(1)
}
