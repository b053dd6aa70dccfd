/// Records of an earlier run's segment whose octets were compared with their checksum in this process, and found right.
///
/// Eight octets for each record that was read: it goes with its segment. An answer needs neither the file nor a walk through it.
struct ProvenRecords: Sendable {
  /// Where a header stands, in units of eight octets (every record begins at a multiple of eight), and how long its payload is.
  private struct Record: Sendable {
    let unit: UInt32
    let length: UInt32
    var payload: Int { Int(unit) * 8 + SegmentFormat.recordHeaderBytes }
  }

  // In the order of the file.
  private var records: [Record] = []

  var count: Int { records.count }

  /// Whether one of these records holds all of `range`.
  func holds(_ range: Range<Int>) -> Bool {
    let index = firstIndex(behind: range.lowerBound)
    return index > 0 && range.upperBound <= records[index - 1].payload + Int(records[index - 1].length)
  }

  mutating func insert(_ place: RecordPlace) {
    // A record of 4 GiB, or one that lies 32 GiB deep, is not remembered: it is read again each time.
    guard let unit = UInt32(exactly: place.header / 8), let length = UInt32(exactly: place.length) else { return }
    let index = firstIndex(behind: place.payload)
    if index > 0, records[index - 1].unit == unit { return }
    records.insert(Record(unit: unit, length: length), at: index)
  }

  /// Index of the first record whose payload begins behind `offset`.
  private func firstIndex(behind offset: Int) -> Int {
    var low = 0
    var high = records.count
    while low < high {
      let middle = (low + high) / 2
      if records[middle].payload <= offset { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
