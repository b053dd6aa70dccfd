/// Whom a proxy says it speaks for (HAProxy's PROXY protocol, versions 1 and 2).
public enum ProxiedClient: Sendable, Equatable {
  /// Nobody: the proxy itself has connected (LOCAL), or does not know who did (UNKNOWN, UNSPEC), or that was a local socket.
  case proxyItself
  /// A client with this IP address, in its usual spelling, and port.
  case client(address: String, port: Int)
}

/// Reads the header that a proxy puts before a connection's own octets, in any pieces. Nothing behind the header is touched.
///
/// The header is required where it is read at all: what a proxy that is believed does not say must not be guessed from what follows.
public struct ProxyHeaderReader: Sendable {
  /// What came of the octets so far.
  public enum Outcome: Sendable, Equatable {
    /// They are used up, and the header goes on.
    case more
    /// The header is through.
    case header(ProxiedClient)
    /// It is none, or not a valid one. The words say what, for a log line.
    case fault(String)
  }

  /// Version 1 (section 2.1): a line with its CRLF is at most 107 octets long.
  static let lineBytes = 107
  /// Version 2 (section 2.2): the signature, by which it cannot be taken for a line.
  private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]
  /// Version 2: signature, version and command, family and protocol, length.
  private static let fixedBytes = 16
  /// What is looked at of a version 2 header: two IPv6 addresses and two ports behind its fixed part.
  private static let keptBytes = fixedBytes + 36

  private let limit: Int
  private var kept: [UInt8] = []
  /// Octets of the header that went by.
  private var count = 0
  private var state = State.beginning

  private enum State: Sendable, Equatable {
    /// Which version it is does not show yet.
    case beginning
    case line
    /// The fixed part of version 2.
    case fixed
    /// The rest of version 2, up to this many octets in all.
    case rest(total: Int)
    case done
  }

  /// - Parameter maximumBytes: of a version 2 header with everything in it.
  public init(maximumBytes: Int) { limit = maximumBytes }

  /// True when nothing came yet.
  public var isUntouched: Bool { count == 0 }

  /// Reads on at `at`. After `.header` and `.fault` it must not be called again.
  public mutating func read(_ input: Span<UInt8>, at: inout Int) -> Outcome {
    while at < input.count {
      let byte = input[at]
      at += 1
      count += 1
      if kept.count < max(ProxyHeaderReader.lineBytes, ProxyHeaderReader.keptBytes) { kept.append(byte) }
      if let outcome = took(byte) {
        state = .done
        return outcome
      }
    }
    return .more
  }

  private mutating func took(_ byte: UInt8) -> Outcome? {
    switch state {
    case .beginning:
      if kept.count <= 6, kept.elementsEqual("PROXY ".utf8.prefix(kept.count)) {
        if kept.count == 6 { state = .line }
        return nil
      }
      guard kept.elementsEqual(ProxyHeaderReader.signature.prefix(kept.count)) else {
        return .fault("what came first is no PROXY header")
      }
      if kept.count == ProxyHeaderReader.signature.count { state = .fixed }
      return nil
    case .line:
      if byte == 10 {
        guard kept.count >= 2, kept[kept.count - 2] == 13 else { return .fault("the PROXY line does not end in CR LF") }
        return line(kept[6..<(kept.count - 2)])
      }
      if count >= ProxyHeaderReader.lineBytes { return .fault("the PROXY line is longer than \(ProxyHeaderReader.lineBytes) octets") }
      return nil
    case .fixed:
      guard count == ProxyHeaderReader.fixedBytes else { return nil }
      return fixed()
    case .rest(let total): return count == total ? addresses(total) : nil
    case .done: preconditionFailure("the PROXY header is through")
    }
  }

  // MARK: Version 1

  /// `TCP4 source destination source-port destination-port`, `TCP6 …`, or `UNKNOWN` and anything.
  private func line(_ text: ArraySlice<UInt8>) -> Outcome {
    let words = text.split(separator: 32, omittingEmptySubsequences: false)
    guard let family = words.first else { return .fault("the PROXY line is empty") }
    if family.elementsEqual("UNKNOWN".utf8) { return .header(.proxyItself) }
    let isFour = family.elementsEqual("TCP4".utf8)
    guard isFour || family.elementsEqual("TCP6".utf8) else { return .fault("the PROXY line names no known protocol") }
    guard words.count == 5 else { return .fault("the PROXY line has not two addresses and two ports") }
    guard words[1...2].allSatisfy({ isFour ? AddressParser.isIPv4($0) : AddressParser.isIPv6($0) }),
      let address = IPText.canonical(String(decoding: words[1], as: UTF8.self))
    else { return .fault("the PROXY line has an address that is none of its protocol") }
    guard let port = ProxyHeaderReader.port(words[3]), ProxyHeaderReader.port(words[4]) != nil else {
      return .fault("the PROXY line has a port that is none")
    }
    return .header(.client(address: address, port: port))
  }

  private static func port(_ digits: ArraySlice<UInt8>) -> Int? {
    guard digits.count <= 5, digits.count == 1 || digits.first != 48, let port = Command.number(digits), port <= 65_535 else { return nil }
    return port
  }

  // MARK: Version 2

  /// The fixed part is here: how much follows, and whether it is for us.
  private mutating func fixed() -> Outcome? {
    guard kept[12] >> 4 == 2 else { return .fault("the PROXY header has version \(kept[12] >> 4)") }
    guard kept[12] & 15 <= 1 else { return .fault("the PROXY header has the unknown command \(kept[12] & 15)") }
    let total = ProxyHeaderReader.fixedBytes + Int(kept[14]) << 8 + Int(kept[15])
    guard total <= limit else { return .fault("the PROXY header would be \(total) octets long, and \(limit) are allowed") }
    if total == ProxyHeaderReader.fixedBytes { return addresses(total) }
    state = .rest(total: total)
    return nil
  }

  /// All of it is here: addresses, ports, and fields (TLVs) behind them that are passed over.
  private func addresses(_ total: Int) -> Outcome {
    // LOCAL: whatever else stands there is ignored (section 2.2).
    if kept[12] & 15 == 0 { return .header(.proxyItself) }
    let body = total - ProxyHeaderReader.fixedBytes
    switch kept[13] {
    case 0x00: return .header(.proxyItself)
    case 0x11:
      guard body >= 12 else { return .fault("the PROXY header is too short for its addresses") }
      return .header(.client(address: IPText.text(ofIPv4: Array(kept[16..<20])), port: port(at: 24)))
    case 0x21:
      guard body >= 36 else { return .fault("the PROXY header is too short for its addresses") }
      return .header(.client(address: IPText.text(ofIPv6: Array(kept[16..<32])), port: port(at: 48)))
    case 0x31:
      guard body >= 216 else { return .fault("the PROXY header is too short for its addresses") }
      return .header(.proxyItself)
    default: return .fault("the PROXY header is about something else than a stream over IP")
    }
  }

  private func port(at offset: Int) -> Int { Int(kept[offset]) << 8 | Int(kept[offset + 1]) }
}
