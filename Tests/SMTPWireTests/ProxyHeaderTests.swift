import Octets
import Testing

@testable import SMTPWire

@Suite struct ProxyHeaderTests {
  /// Reads a header with octets behind it, in pieces; what came of it, and what was left untouched.
  private func read(_ octets: [UInt8], _ splitting: Splitting, limit: Int = 4096) -> (ProxyHeaderReader.Outcome, rest: [UInt8]) {
    var reader = ProxyHeaderReader(maximumBytes: limit)
    var taken = 0
    for piece in splitting.pieces(octets) {
      var at = 0
      let outcome = reader.read(piece.span, at: &at)
      taken += at
      if outcome != .more { return (outcome, Array(octets[taken...])) }
      #expect(at == piece.count)
    }
    return (.more, [])
  }

  private static func v2(_ command: UInt8, _ family: UInt8, _ body: [UInt8], length: Int? = nil) -> [UInt8] {
    let length = length ?? body.count
    return [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, command, family, UInt8(length >> 8), UInt8(length & 255)] + body
  }

  private static let four: [UInt8] = [192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0x50, 0, 25]
  private static let six: [UInt8] =
    [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [7] + [UInt8](repeating: 0, count: 15) + [1] + [0, 1, 2, 75]
  private static let mapped: [UInt8] =
    [UInt8](repeating: 0, count: 10) + [255, 255, 192, 0, 2, 9] + [UInt8](repeating: 0, count: 16) + [0, 1, 2, 75]

  static let good: [(octets: [UInt8], client: ProxiedClient)] = [
    (Array("PROXY TCP4 192.0.2.7 198.51.100.1 50000 25\r\n".utf8), .client(address: "192.0.2.7", port: 50_000)),
    (Array("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n".utf8), .client(address: "0.0.0.0", port: 0)),
    (Array("PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 40000 465\r\n".utf8), .client(address: "2001:db8::7", port: 40_000)),
    (
      Array(
        "PROXY TCP6 ffff:f9ff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n".utf8),
      .client(address: "ffff:f9ff:ffff:ffff:ffff:ffff:ffff:ffff", port: 65_535)
    ),
    (Array("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n".utf8), .client(address: "192.0.2.7", port: 1)),
    (Array("PROXY UNKNOWN\r\n".utf8), .proxyItself),
    (Array("PROXY UNKNOWN whatever \0 stands here\r\n".utf8), .proxyItself),
    (v2(0x21, 0x11, four), .client(address: "192.0.2.7", port: 50_000)),
    (v2(0x21, 0x11, four + [4, 0, 1, 0, 0x20, 255, 255, 1]), .client(address: "192.0.2.7", port: 50_000)),
    (v2(0x21, 0x21, six), .client(address: "2001:db8::7", port: 1)),
    (v2(0x21, 0x21, six + [UInt8](repeating: 10, count: 4000)), .client(address: "2001:db8::7", port: 1)),
    (v2(0x21, 0x21, mapped), .client(address: "192.0.2.9", port: 1)),
    (v2(0x21, 0x31, [UInt8](repeating: 0, count: 216)), .proxyItself),
    (v2(0x21, 0x00, []), .proxyItself), (v2(0x21, 0x00, [1, 2, 3]), .proxyItself),
    (v2(0x20, 0x00, []), .proxyItself), (v2(0x20, 0x11, four), .proxyItself), (v2(0x20, 0xFF, [9]), .proxyItself),
  ]

  static let bad: [[UInt8]] =
    [
      "EHLO me.test\r\n", "PROXY\r\n", "proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n", "PROXY TCP4\r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
      "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n", "PROXY TCP4 192.0.2.7 x 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n", "PROXY TCP6 :::1 ::1 1 2\r\n", "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n", "PROXY TCP4 192.0.2.7 198.51.100.1  2\r\n", "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n", "PROXY UNKNOWN\n", "PROXY UNKNOWN " + String(repeating: "x", count: 200),
      "PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r\n", "\r\n\r\n\0\r\nQUIT\r", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0",
    ].map { Array($0.utf8) } + [
      v2(0x11, 0x11, four), v2(0x31, 0x11, four), v2(0x22, 0x11, four), v2(0x2F, 0x11, four), v2(0x21, 0x12, four), v2(0x21, 0x22, six),
      v2(0x21, 0x13, four), v2(0x21, 0x41, four), v2(0x21, 0x11, Array(four.dropLast())), v2(0x21, 0x21, four), v2(0x21, 0x11, []),
      v2(0x21, 0x31, four), v2(0x21, 0x11, four, length: 65_535), v2(0x20, 0x00, [], length: 4081),
    ]

  @Test(arguments: Splitting.all)
  func headersAreReadInAnyPiecesAndNothingBehindThem(splitting: Splitting) {
    for (octets, client) in Self.good {
      let behind: [UInt8] = Array("EHLO me.test\r\n".utf8)
      let (outcome, rest) = read(octets + behind, splitting)
      #expect(outcome == .header(client), "\(String(decoding: octets, as: UTF8.self))")
      #expect(rest == behind)
      // Not an octet earlier.
      #expect(read(Array(octets.dropLast()), splitting).0 == .more)
    }
  }

  @Test(arguments: Splitting.all)
  func whatIsNoHeaderIsRefused(splitting: Splitting) {
    for octets in Self.bad {
      guard case .fault(let words) = read(octets, splitting).0 else {
        Issue.record("taken, or waited for: \(String(decoding: octets, as: UTF8.self))")
        continue
      }
      #expect(words.contains("PROXY"))
    }
  }

  @Test func theLongestLineHas107Octets() {
    let line = Array(("PROXY UNKNOWN " + String(repeating: "x", count: 91)).utf8) + [13, 10]
    #expect(line.count == 107)
    #expect(read(line, .whole).0 == .header(.proxyItself))
  }

  @Test func aFaultIsFoundWithoutWaitingForMore() {
    #expect(read(Array("EHLO".utf8), .bytes).0 == .fault("what came first is no PROXY header"))
    #expect(
      read(Array(Self.v2(0x21, 0x11, [], length: 5000)), .bytes).0
        == .fault("the PROXY header would be 5016 octets long, and 4096 are allowed"))
  }

  /// Octets of any kind, also such that begin well: an outcome, and never a crash.
  @Test func seeds() {
    for seed in UInt64(0)..<3000 {
      var random = Seeded(seed)
      let begin = Self.good.randomElement(using: &random)?.octets ?? []
      var octets = Array(begin.prefix(Int.random(in: 0...begin.count, using: &random)))
      if !octets.isEmpty, Bool.random(using: &random) {
        octets[Int.random(in: 0..<octets.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      octets += (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(read(octets, .whole).0 == read(octets, .bytes).0)
      #expect(read(octets, .whole).rest == read(octets, .random(seed)).rest)
    }
  }

  @Test(arguments: [
    ("192.0.2.7", "192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"), ("::", "::", "::/64"), ("::1", "::1", "::/64"),
    ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1", "2001:db8::/64"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", "2001:db8:0:1::/64"),
    ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1", "2001:db8:aaaa:bbbb::/64"),
    ("1::", "1::", "1::/64"), ("0:0:0:1::", "0:0:0:1::", "0:0:0:1::/64"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221", "64:ff9b::/64"),
  ])
  func addressesHaveOneSpelling(text: String, canonical: String, network: String) {
    #expect(IPText.canonical(text) == canonical)
    #expect(IPText.network(text) == network)
  }

  @Test func whatIsNoAddressHasNone() {
    for text in ["", "x", "1.2.3", "1.2.3.4.5", ":", ":::", "1:2:3:4:5:6:7", "fe80::1%eth0", "12345::", "/run/socket"] {
      #expect(IPText.canonical(text) == nil, "\(text)")
      #expect(IPText.network(text) == text)
    }
  }
}
