import Limits
import MIMEStream

/// Random numbers that a seed determines (SplitMix64), so that a failure can be had again.
struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}

/// Octets of a text with its line ends made CRLF.
func crlf(_ text: String) -> [UInt8] {
  var out: [UInt8] = []
  for byte in text.utf8 {
    if byte == 10 && out.last != 13 { out.append(13) }
    out.append(byte)
  }
  return out
}

func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

/// The facts of a message fed in pieces of the sizes that `sizes` gives.
func facts(
  of message: [UInt8], limits: MessageLimits = MessageLimits(), watched: String = "", checksLines: Bool = true, piece: () -> Int
) -> MessageFacts {
  var walker = MessageWalker(limits: limits, watchedBoundaryPrefix: Array(watched.utf8), checksLines: checksLines)
  var at = 0
  while at < message.count {
    let end = min(message.count, at + max(0, piece()))
    walker.feed(message.span.extracting(at..<end))
    at = end
  }
  return walker.finish()
}

/// A tree on one line: `type[body]` for a leaf, `type{…}` for what holds parts, `type?` for a multipart that was not closed,
/// `type<…>` for an attached message.
func outline(_ facts: MessageFacts, _ message: [UInt8]) -> String {
  func show(_ index: Int) -> String {
    let part = facts.parts[index]
    let children = facts.parts.indices.filter { facts.parts[$0].parent == index }
    let mark = part.isClosed ? "" : "?"
    if part.type == "message/rfc822" && !children.isEmpty {
      return part.type + mark + "<" + children.map(show).joined(separator: " ") + ">"
    }
    if part.boundary != nil { return part.type + mark + "{" + children.map(show).joined(separator: " ") + "}" }
    let body = text(message[part.bodyRange]).replacing("\r\n", with: "|").replacing("\n", with: "/")
    return part.type + mark + "[" + body + "]"
  }
  return facts.parts.isEmpty ? "" : show(0)
}
