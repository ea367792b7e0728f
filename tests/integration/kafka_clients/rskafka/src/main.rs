//! rskafka: one command of the matrix. See ../README.md for what each prints. rskafka has no groups and
//! no configurations.
use chrono::{TimeZone, Utc};
use rskafka::client::{
    partition::{Compression, OffsetAt, UnknownTopicHandling},
    Client, ClientBuilder,
};
use rskafka::record::Record;
use std::collections::BTreeMap;

type Anything = Box<dyn std::error::Error>;

fn codec(name: &str) -> Compression {
    match name {
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => Compression::NoCompression,
    }
}

fn record(i: i64) -> Record {
    let t0: i64 = std::env::var("MATRIX_T0").unwrap().parse().unwrap();
    let mut headers = BTreeMap::new();
    headers.insert("h".to_string(), i.to_string().into_bytes());
    headers.insert("e".to_string(), vec![]);
    Record {
        key: (i % 7 != 0 || i % 11 == 10).then(|| format!("k{i}").into_bytes()),
        value: (i % 11 != 10).then(|| format!("v{i}-{}", "x".repeat((i * 13 % 200) as usize)).into_bytes()),
        headers,
        timestamp: Utc.timestamp_millis_opt(t0 + i * 1000).unwrap(),
    }
}

async fn produce(client: &Client, topic: &str, codecs: &str, count: i64) -> Result<(), Anything> {
    let mut i = 0;
    for name in codecs.split(',') {
        for partition in 0..3 {
            let records = (i..i + count).filter(|n| n % 3 == partition).map(record).collect();
            let at = client.partition_client(topic, partition as i32, UnknownTopicHandling::Retry).await?;
            at.produce(records, codec(name)).await?;
        }
        i += count;
    }
    println!("OK");
    Ok(())
}

async fn consume(client: &Client, topic: &str) -> Result<(), Anything> {
    let text = |v: Option<Vec<u8>>| v.map_or("\\N".to_string(), |v| String::from_utf8(v).unwrap());
    for partition in 0..3 {
        let at = client.partition_client(topic, partition, UnknownTopicHandling::Retry).await?;
        let mut next = at.get_offset(OffsetAt::Earliest).await?;
        let end = at.get_offset(OffsetAt::Latest).await?;
        while next < end {
            for r in at.fetch_records(next, 1..1_000_000, 1_000).await?.0 {
                next = r.offset + 1;
                let headers: String = r.record.headers.iter().map(|(k, v)| format!("{k}={};", String::from_utf8_lossy(v))).collect();
                println!("{partition}\t{}\t{}\t{}\t{}\t{headers}", r.offset, r.record.timestamp.timestamp_millis(), text(r.record.key), text(r.record.value));
            }
        }
    }
    Ok(())
}

async fn admin(client: &Client, topic: &str) -> Result<(), Anything> {
    let controller = client.controller_client()?;
    controller.create_topic(topic, 3, 3, 10_000).await?;
    let listed = client.list_topics().await?;
    assert!(listed.iter().any(|t| t.name == topic && t.partitions.len() == 3), "listed");
    let at = client.partition_client(topic, 0, UnknownTopicHandling::Retry).await?;
    at.produce((0..9).map(record).collect(), Compression::NoCompression).await?;
    at.delete_records(4, 10_000).await?;
    assert_eq!(at.get_offset(OffsetAt::Earliest).await?, 4);
    controller.delete_topic(topic, 10_000).await?;
    println!("OK");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let args: Vec<String> = std::env::args().collect();
    let brokers = args[2].split(',').map(str::to_string).collect();
    let client = ClientBuilder::new(brokers).build().await?;
    match args[1].as_str() {
        "produce" => produce(&client, &args[3], &args[4], args[5].parse()?).await,
        "consume" => consume(&client, &args[3]).await,
        _ => admin(&client, &args[3]).await,
    }
}
