# Compares what was read with what was sent: awk -F '\t' -f check.awk sent=1 SENT sent=0 READ
# SENT: key, {"seq":N,…}. READ: shard, offset, key, {"door":D,"seq":N,…}, by shard and offset.
# Each door sent every line once. Ends with status 1 and says why when a record is missing, doubled or changed, when a
# key's records are out of order, or when they are in two shards.

function fail(why) { if (failures++ < 10) print "FAILED: " why }

sent { key[FNR - 1] = $1; rest[FNR - 1] = substr($2, 2); records++; next }

!match($4, /^\{"door":"[a-z]+","seq":[0-9]+/) { fail("not one of ours: shard " $1 " offset " $2); next }

{
  split(substr($4, 1, RLENGTH), part, /[:,]/)
  door = part[2]; gsub(/"/, "", door); seq = part[4]
  if (seen[door, seq]++) fail(door " record " seq " is there twice")
  if (key[seq] != $3 || rest[seq] != substr($4, length(door) + 12)) fail(door " record " seq " isn't what was sent")
  if (($3 in shard) && shard[$3] != $1) fail("key " $3 " is in shards " shard[$3] " and " $1)
  if (((door, $3) in last) && last[door, $3] >= seq + 0) fail(door " record " seq " of key " $3 " comes after " last[door, $3])
  if (!($3 in shard)) keys++
  shard[$3] = $1; last[door, $3] = seq + 0; received[door]++
}

END {
  for (i = 1; i <= split("grpc kafka", doors, " "); i++) {
    door = doors[i]
    print door ": " records + 0 " sent, " received[door] + 0 " received"
    if (received[door] != records) fail((records - received[door]) " records of " door " are missing")
  }
  if (failures) { print failures " failures"; exit 1 }
  print "the order of each of " keys " keys was kept, each in one shard"
}
