import Limits
import Octets

/// Where one header field lies. Offsets in the header's octets, which are the message's own offsets.
public struct HeaderField: Sendable, Equatable {
  /// The field's name, without white space and colon.
  public let name: Range<Int>
  /// After the colon, to before the final line end; folds are inside.
  public let value: Range<Int>
  /// The whole field with its final line end.
  public let line: Range<Int>

  /// A field at these offsets.
  public init(name: Range<Int>, value: Range<Int>, line: Range<Int>) {
    self.name = name
    self.value = value
    self.line = line
  }
}

/// A header: its octets and its fields in order (RFC 5322 §2.2).
public struct HeaderFacts: Sendable, Equatable {
  /// The header as received up to the limit, without the empty line that ends it.
  public let bytes: [UInt8]
  /// The well-formed fields in order.
  public let fields: [HeaderField]

  /// A header of these octets whose fields were found by `HeaderFacts.parse`.
  init(bytes: [UInt8], fields: [HeaderField]) {
    self.bytes = bytes
    self.fields = fields
  }

  /// The fields of that name, without regard to ASCII case.
  public func fields(named name: String) -> [HeaderField] {
    let wanted = Array(name.utf8)
    return fields.filter { $0.name.count == wanted.count && ASCII.equal(bytes[$0.name], wanted) }
  }

  /// The first field of that name, or nil.
  public func first(named name: String) -> HeaderField? {
    let wanted = Array(name.utf8)
    return fields.first { $0.name.count == wanted.count && ASCII.equal(bytes[$0.name], wanted) }
  }

  /// The field's name as written.
  public func name(of field: HeaderField) -> String { String(decoding: bytes[field.name], as: UTF8.self) }

  /// The field's value unfolded (line ends before white space removed, RFC 5322 §2.2.3), without white space around it.
  public func value(of field: HeaderField) -> [UInt8] { HeaderText.unfolded(bytes[field.value]) }

  /// The whole field, its line or lines as received with the final line end.
  public func raw(_ field: HeaderField) -> ArraySlice<UInt8> { bytes[field.line] }
}
