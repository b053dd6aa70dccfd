import Digests

/// Finds out which rows, or which chain values, of a seal's files are not what they were.
///
/// The seal's root says whether all rows are right. If they are, the right chain is computed from them and its file compared with that. If
/// not, the chain values say which rows are: a row fits its place when it leads from the value before to the value after.
struct ChainAlignment {
  /// How far a file may be shifted against the other by lines that were removed or added, and still be followed.
  private static let reach = 8
  /// How many rows are computed across chain values that do not fit.
  private static let bridge = 16

  let first: Int64
  let count: Int
  /// Chain values at the seal's ends.
  let before: [UInt8]
  let after: [UInt8]
  let rows: [SealedRowsCheck.RowLine]
  /// Nil for a line that is no chain value.
  let lines: [[UInt8]?]

  private func number(_ place: Int) -> Int64 { first &+ Int64(place) }

  // MARK: The rows are those that were sealed

  /// What is wrong with the chain values, the rows being right.
  func faultsOfChain() -> [EvidenceFault] {
    for (place, row) in rows.enumerated() where row.number != number(place) {
      return [EvidenceFault(.sealDiffers, row: number(place), line: place + 1, detail: "the row that was sealed here says another number")]
    }
    var right: [[UInt8]] = []
    var chain = before
    for row in rows {
      chain = EventChain.next(chain, leaf: row.leaf)
      right.append(chain)
    }
    guard chain == after else {
      return [EvidenceFault(.chainDiffers, detail: "the rows do not lead from the seal's first chain value to its last")]
    }
    if lines.elementsEqual(right, by: { $0 == $1 }) { return [] }
    let places = Dictionary(right.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    let found = LineUp.findings(lines.map { LineUp.Line(place: $0.flatMap { places[$0] }, hint: nil) }, count: count)
    return found.map { finding in
      let detail =
        switch finding.what {
        case .changed: "the line is not the chain value after it"
        case .missing: "the chain value after it is not there"
        case .added: "the line was not there"
        case .moved: "the chain value after it stands elsewhere"
        }
      return EvidenceFault(.chainChanged, row: finding.place.map(number), line: finding.line.map { $0 + 1 }, detail: detail)
    }
  }

  // MARK: They are not

  /// Which rows are wrong, as far as the chain values tell; and which of these.
  func faultsOfRows() -> [EvidenceFault] {
    // The first line that claims a place stands for it where others do too.
    var claims = [Int?](repeating: nil, count: count)
    let hints = rows.map { row in row.number.flatMap { place(of: $0) } }
    for (line, hint) in hints.enumerated().reversed() { if let hint { claims[hint] = line } }
    let isWhole = lines.count == count && lines.last == .some(after)
    let values = isWhole ? [before] + lines : follow(claims)
    var placed = zip(rows, hints).map { row, hint -> LineUp.Line in
      guard let hint, let from = values[hint], let to = values[hint + 1], EventChain.next(from, leaf: row.leaf) == to else {
        return LineUp.Line(place: nil, hint: hint)
      }
      return LineUp.Line(place: hint, hint: hint)
    }
    let damaged = bridge(claims, values, &placed)
    var faults = LineUp.findings(placed, count: count).map { fault($0, values) }
    faults += damaged.map { EvidenceFault(.chainChanged, row: number($0), detail: "the rows around it fit each other, but not this value") }
    if !isWhole, lines.count == count, let last = lines.last, last != after {
      let isFollowed = values[count] == last
      faults.append(
        EvidenceFault(
          isFollowed ? .chainDiffers : .chainChanged, row: number(count - 1), line: count,
          detail: faults.isEmpty && isFollowed
            ? "rows and chain values fit each other and not the seal: they were rewritten, from which row on these files cannot tell"
            : "the last chain value is not the one that the seal says"))
    }
    return faults
  }

  /// Place of the row of that number; nil for the numbers of other seals.
  private func place(of row: Int64) -> Int? {
    let (place, overflow) = row.subtractingReportingOverflow(first)
    return overflow || place < 0 || place >= Int64(count) ? nil : Int(place)
  }

  private func fault(_ finding: LineUp.Finding, _ values: [[UInt8]?]) -> EvidenceFault {
    let row = finding.place.map(number)
    let line = finding.line.map { $0 + 1 }
    switch finding.what {
    case .missing: return EvidenceFault(.missing, row: row, detail: "it is not there")
    case .added:
      return EvidenceFault(.added, row: row, line: line, detail: row == nil ? "the line was not there" : "it is there a second time")
    case .moved: return EvidenceFault(.moved, row: row, line: line, detail: "it does not stand where it was sealed")
    case .changed:
      let isKnown = finding.place.map { values[$0] != nil && values[$0 + 1] != nil } ?? true
      return isKnown
        ? EvidenceFault(.changed, row: row, line: line, detail: "it is not the row that was sealed")
        : EvidenceFault(.unclear, row: row, line: line, detail: "the chain values around it are not there to tell whether it is whole")
    }
  }

  /// The chain values before and after each place, followed along rows and lines that still fit each other, across lines that were
  /// removed or added.
  private func follow(_ claims: [Int?]) -> [[UInt8]?] {
    var values = [[UInt8]?](repeating: nil, count: count + 1)
    var shift = 0
    let shifts = [0] + (1...ChainAlignment.reach).flatMap { [$0, -$0] }
    for at in lines.indices {
      guard let value = lines[at], let from = at == 0 ? before : lines[at - 1] else { continue }
      for more in at == 0 ? [0] : shifts {
        let place = at + shift + more
        guard place >= 0, place < count, let claim = claims[place], EventChain.next(from, leaf: rows[claim].leaf) == value else { continue }
        values[place] = from
        values[place + 1] = value
        shift += more
        break
      }
    }
    values[0] = before
    if values[count] == nil { values[count] = after }
    return values
  }

  /// Rows that fit each other across chain values that are wrong or unknown are right. Returns the places after which the value is wrong.
  private func bridge(_ claims: [Int?], _ values: [[UInt8]?], _ placed: inout [LineUp.Line]) -> [Int] {
    var damaged: [Int] = []
    var at = 0
    while at < count {
      let start = at
      at += 1
      guard var chain = values[start], let claim = claims[start], placed[claim].place == nil else { continue }
      var computed: [[UInt8]] = []
      for place in start..<min(count, start + ChainAlignment.bridge) {
        guard let claim = claims[place] else { break }
        chain = EventChain.next(chain, leaf: rows[claim].leaf)
        computed.append(chain)
        guard place > start, values[place + 1] == chain else { continue }
        for inner in start...place {
          if let claim = claims[inner] { placed[claim].place = inner }
          if values[inner + 1] != computed[inner - start] { damaged.append(inner) }
        }
        at = place + 1
        break
      }
    }
    return damaged
  }
}
