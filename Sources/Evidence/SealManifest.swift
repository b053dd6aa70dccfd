import Digests
import Octets
import PEC

/// What a seal says of the rows that it covers: the octets that are signed and time-stamped. One line of canonical JSON without its end,
/// read only in exactly the form in which it is written.
///
/// `{"v":1,"seal":5,"provider":"…","first":401,"last":500,"count":100,"fromUtc":…,"fromOffset":3600,"from":"…","toUtc":…,
/// "toOffset":3600,"to":"…","mechanism":"RFC6962-SHA256","root":"…","chainBefore":"…","chainAfter":"…","previous":"…","madeUtc":…,
/// "madeOffset":3600,"made":"…","reason":"daily"}`
public struct SealManifest: Sendable, Equatable {
  /// How the root is made: RFC 6962 §2.1 with SHA-256.
  public static let mechanism = "RFC6962-SHA256"
  /// `previous` of the first seal.
  public static let noPrevious = String(repeating: "0", count: 2 * SHA256.bytes)
  /// Most rows that a seal covers: its check keeps 40 octets of each.
  public static let maximumRows: Int64 = 1 << 22
  /// Longest manifest that is read, in octets.
  public static let maximumOctets = 1 << 16

  /// 1, 2, 3…
  public var number: Int64
  /// Our name in the provider index.
  public var provider: String
  /// First and last row that it covers.
  public var first: Int64
  public var last: Int64
  /// Instants of the first and the last row.
  public var from: Instant
  public var to: Instant
  /// Merkle root over the rows' leaves, hexadecimal.
  public var root: String
  /// Chain values before the first and after the last row, hexadecimal.
  public var chainBefore: String
  public var chainAfter: String
  /// `digest` of the seal before, or `noPrevious`.
  public var previous: String
  public var madeAt: Instant
  /// Why it was made: `daily`, `size`, `asked` or `stop`.
  public var reason: String

  /// A manifest of these fields; digests are 64 lower-case hexadecimal digits.
  public init(
    number: Int64, provider: String, first: Int64, last: Int64, from: Instant, to: Instant, root: String, chainBefore: String,
    chainAfter: String, previous: String, madeAt: Instant, reason: String
  ) {
    self.number = number
    self.provider = provider
    self.first = first
    self.last = last
    self.from = from
    self.to = to
    self.root = root
    self.chainBefore = chainBefore
    self.chainAfter = chainAfter
    self.previous = previous
    self.madeAt = madeAt
    self.reason = reason
  }

  /// How many rows it covers.
  public var count: Int64 {
    let (difference, overflow) = last.subtractingReportingOverflow(first)
    return overflow || difference == .max ? 0 : difference + 1
  }

  /// What is signed.
  public var octets: [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(1024)
    func number(_ key: String, _ value: Int64) {
      out.append(contentsOf: key.utf8)
      out.appendDecimal(value)
    }
    func text(_ key: String, _ value: String) {
      out.append(contentsOf: key.utf8)
      out.appendQuoted(value)
    }
    func instant(_ seconds: String, _ offset: String, _ time: String, _ value: Instant) {
      number(seconds, value.unixSeconds)
      number(offset, Int64(value.utcOffsetSeconds))
      out.append(contentsOf: time.utf8)
      out.appendTime(value)
    }
    number(#"{"v":1,"seal":"#, self.number)
    text(#","provider":"#, provider)
    number(#","first":"#, first)
    number(#","last":"#, last)
    number(#","count":"#, count)
    instant(#","fromUtc":"#, #","fromOffset":"#, #","from":"#, from)
    instant(#","toUtc":"#, #","toOffset":"#, #","to":"#, to)
    text(#","mechanism":"#, SealManifest.mechanism)
    text(#","root":"#, root)
    text(#","chainBefore":"#, chainBefore)
    text(#","chainAfter":"#, chainAfter)
    text(#","previous":"#, previous)
    instant(#","madeUtc":"#, #","madeOffset":"#, #","made":"#, madeAt)
    text(#","reason":"#, reason)
    out.append(UInt8(ascii: "}"))
    return out
  }

  /// SHA-256 of `octets`, hexadecimal: by it the next seal names this one.
  public var digest: String { Hex.encode(SHA256.digest(octets)) }

  /// Reads what `octets` wrote, and nothing else.
  public init(reading octets: [UInt8]) throws(EvidenceError) {
    guard octets.count <= SealManifest.maximumOctets else {
      throw .malformed(offset: SealManifest.maximumOctets, expected: "the end")
    }
    var reader = CanonicalReader(octets)
    try reader.expect(#"{"v":1,"seal":"#)
    number = try reader.number()
    try reader.expect(#","provider":"#)
    provider = try reader.text()
    try reader.expect(#","first":"#)
    first = try reader.number()
    try reader.expect(#","last":"#)
    last = try reader.number()
    try reader.expect(#","count":"#)
    let place = reader.at
    let count = try reader.number()
    from = try reader.instant(#","fromUtc":"#, #","fromOffset":"#, #","from":"#)
    to = try reader.instant(#","toUtc":"#, #","toOffset":"#, #","to":"#)
    try reader.expect(#","mechanism":"RFC6962-SHA256","root":"#)
    root = try reader.digest()
    try reader.expect(#","chainBefore":"#)
    chainBefore = try reader.digest()
    try reader.expect(#","chainAfter":"#)
    chainAfter = try reader.digest()
    try reader.expect(#","previous":"#)
    previous = try reader.digest()
    madeAt = try reader.instant(#","madeUtc":"#, #","madeOffset":"#, #","made":"#)
    try reader.expect(#","reason":"#)
    reason = try reader.text()
    try reader.expect("}")
    try reader.expectEnd()
    guard number >= 1, first >= 1, (1...SealManifest.maximumRows).contains(count), self.count == count else {
      throw .malformed(offset: place, expected: "numbers of a seal and its rows that fit each other")
    }
    try CanonicalText.compare(octets, with: self.octets)
  }

  /// What is wrong with this seal standing after that one; with nil, standing as the first of all.
  public func faults(after seal: SealManifest?) -> [EvidenceFault] {
    var faults: [EvidenceFault] = []
    func expect(_ isRight: Bool, _ detail: String) {
      if !isRight { faults.append(EvidenceFault(.sealDiffers, detail: "seal \(number) \(detail)")) }
    }
    expect(number == (seal?.number ?? 0) &+ 1, "stands after seal \(seal?.number ?? 0)")
    expect(first == (seal?.last ?? 0) &+ 1, "begins with row \(first), and the seal before it ends with row \(seal?.last ?? 0)")
    expect(
      chainBefore == (seal?.chainAfter ?? Hex.encode(EventChain.beginning)), "does not begin where the chain of the seal before it ends")
    expect(previous == (seal?.digest ?? SealManifest.noPrevious), "names another seal before it")
    expect(provider == (seal?.provider ?? provider), "is of another provider")
    return faults
  }
}

extension CanonicalReader {
  /// A quoted digest: 64 lower-case hexadecimal digits.
  mutating func digest() throws(EvidenceError) -> String {
    let place = at
    let text = try text()
    guard CanonicalText.octets(hexadecimal: text.utf8)?.count == SHA256.bytes else {
      throw .malformed(offset: place, expected: "64 hexadecimal digits")
    }
    return text
  }
}
