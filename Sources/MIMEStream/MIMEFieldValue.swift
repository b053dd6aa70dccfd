import Octets

/// A value with parameters, as Content-Type and Content-Disposition have it (RFC 2045 §5.1, RFC 2183, RFC 2231).
///
/// Read as mail is really written: comments anywhere, unquoted values with spaces, missing semicolons, encoded words.
public struct MIMEFieldValue: Sendable, Equatable {
  /// What stands before the parameters, in lower case, without white space and comments.
  public var value: String
  /// The parameters in order, decoded, each name once: the first holds, and the form of RFC 2231 before the plain one.
  public var parameters: [MIMEParameter]
  /// True when something was passed over to make sense of the rest.
  public var isMalformed: Bool
  /// The boundary in its own octets, trailing white space off.
  var boundary: [UInt8]?
  /// True when there are two different boundaries.
  var boundaryIsAmbiguous = false
  /// True when there were more parameters than are read.
  var dropped = false

  /// A parameter by its lower-case name.
  public subscript(name: String) -> String? { parameters.first { $0.name == name }?.value }

  /// Parameters, segments of RFC 2231 counted singly, that are read of one field.
  static let maximumParameters = 200

  /// Reads a field's value, folded or not. Never fails; see `isMalformed`.
  public static func parse(_ value: [UInt8]) -> MIMEFieldValue {
    var scanner = MIMEFieldScanner(value)
    scanner.run()
    var result = MIMEFieldValue(value: scanner.main, parameters: [], isMalformed: scanner.malformed)
    result.dropped = scanner.dropped
    let plain = scanner.parameters.filter { $0.name == "boundary" }.map { MIMEFieldValue.trimmed($0.value) }
    result.boundary = plain.first
    result.boundaryIsAmbiguous = plain.contains { $0 != plain[0] }
    result.assemble(scanner.parameters)
    if result.boundary == nil, let joined = result["boundary"] { result.boundary = Array(joined.utf8) }
    return result
  }

  private static func trimmed(_ boundary: [UInt8]) -> [UInt8] {
    var out = boundary
    while let last = out.last, HeaderText.isSpace(last) { out.removeLast() }
    return out
  }

  /// Joins the segments of RFC 2231 §3 and decodes.
  private mutating func assemble(_ raw: [RawParameter]) {
    var order: [String] = []
    var plain: [String: [UInt8]] = [:]
    var extended: [String: [Segment]] = [:]
    for parameter in raw {
      guard let star = parameter.name.firstIndex(of: "*") else {
        if plain[parameter.name] == nil { plain[parameter.name] = parameter.value }
        order.append(parameter.name)
        continue
      }
      let base = String(parameter.name[..<star])
      guard !base.isEmpty, let segment = Segment(mark: parameter.name[star...], value: parameter.value) else {
        isMalformed = true
        continue
      }
      extended[base, default: []].append(segment)
      order.append(base)
    }
    var seen = Set<String>()
    for name in order where seen.insert(name).inserted {
      if let segments = extended[name], let text = Segment.join(segments) {
        parameters.append(MIMEParameter(name: name, value: HeaderText.printable(text)))
      } else if let value = plain[name] {
        parameters.append(MIMEParameter(name: name, value: HeaderText.printable(HeaderText.readable(value))))
      }
    }
  }
}

/// A parameter as written: the name in lower case, the value unquoted.
struct RawParameter: Equatable {
  var name: String
  var value: [UInt8]
}

/// One segment of an RFC 2231 value: `name*0*=`, `name*1=`, `name*=`.
private struct Segment {
  let number: Int
  let isEncoded: Bool
  let value: [UInt8]

  /// - Parameter mark: what stands from the first asterisk on.
  init?(mark: Substring, value: [UInt8]) {
    var digits = mark.dropFirst()
    isEncoded = digits.isEmpty || digits.last == "*"
    if digits.last == "*" { digits.removeLast() }
    guard digits.utf8.count <= 4, let number = digits.isEmpty ? 0 : Int(digits), number >= 0 else { return nil }
    self.number = number
    self.value = value
  }

  /// The segments' octets in order from 0, up to the first gap, converted by the character set that the first one says.
  static func join(_ segments: [Segment]) -> String? {
    var byNumber: [Int: Segment] = [:]
    for segment in segments where byNumber[segment.number] == nil { byNumber[segment.number] = segment }
    guard let first = byNumber[0] else { return nil }
    var charset = ""
    var bytes: [UInt8] = []
    var rest = first.value[...]
    if first.isEncoded, let one = rest.firstIndex(of: UInt8(ascii: "'")),
      let two = rest[(one + 1)...].firstIndex(of: UInt8(ascii: "'"))
    {
      charset = String(decoding: rest[..<one], as: UTF8.self)
      rest = rest[(two + 1)...]
    }
    bytes += first.isEncoded ? percentDecoded(rest) : Array(rest)
    var next = 1
    while let segment = byNumber[next] {
      bytes += segment.isEncoded ? percentDecoded(segment.value[...]) : segment.value
      next += 1
    }
    if charset.isEmpty { return HeaderText.readable(bytes) }
    return MailCharset.decode(bytes, as: charset) ?? HeaderText.guessed(bytes)
  }

  private static func percentDecoded(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    var at = text.startIndex
    while at < text.endIndex {
      if text[at] == UInt8(ascii: "%"), at + 2 < text.endIndex, let value = HeaderText.hexOctet(text[at + 1], text[at + 2]) {
        out.append(value)
        at += 3
      } else {
        out.append(text[at])
        at += 1
      }
    }
    return out
  }
}
