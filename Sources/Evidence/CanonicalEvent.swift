import Journey
import Octets
import PEC

/// The one form in which a row of the certified log is hashed, exported and proved: a line of JSON without its end, in UTF-8, without
/// spaces, every field always there and in this order, absent ones `null`.
///
/// `{"v":1,"number":17,"utc":…,"offset":3600,"time":"2026-11-21T10:44:26+01:00","event":"accettazione","id":"…","sender":"…",
/// "recipients":[{"address":"…","class":"certificato"}],"subject":null,"msgid":null,"related":["…"],"provider":"…","recipient":null,
/// "error":null,"detail":null,"bytes":5120}`: the fields of RFC 6109 §2.3 and ours. Rows written once must stay readable for ever: a
/// change of this form is a new `v` beside this one.
public enum CanonicalEvent {
  /// Longest row that is read from a file, in octets; far above a row with as many recipients as are taken.
  public static let maximumOctets = 16 << 20

  /// The canonical octets of a row that has its number.
  public static func octets(_ event: EventRecord) -> [UInt8] { octets(event, recipientsJSON: nil) }

  /// The canonical octets of a row that has its number.
  ///
  /// - Parameter recipientsJSON: what `recipientsJSON` made of the event's recipients, when the caller has it already: the rows of a
  ///   message share it.
  public static func octets(_ event: EventRecord, recipientsJSON: [UInt8]?) -> [UInt8] {
    guard let number = event.number else { preconditionFailure("a row without a number has no canonical form") }
    var out: [UInt8] = []
    out.reserveCapacity(512 + (recipientsJSON?.count ?? event.recipients.count * 80))
    out.append(contentsOf: #"{"v":1,"number":"#.utf8)
    out.appendDecimal(number)
    out.append(contentsOf: #","utc":"#.utf8)
    out.appendDecimal(event.instant.unixSeconds)
    out.append(contentsOf: #","offset":"#.utf8)
    out.appendDecimal(Int64(event.instant.utcOffsetSeconds))
    out.append(contentsOf: #","time":"#.utf8)
    out.appendTime(event.instant)
    out.append(contentsOf: #","event":"#.utf8)
    out.appendQuoted(event.kind.rawValue)
    out.append(contentsOf: #","id":"#.utf8)
    out.appendQuoted(event.pecID)
    out.append(contentsOf: #","sender":"#.utf8)
    out.appendQuoted(event.sender)
    out.append(contentsOf: #","recipients":"#.utf8)
    if let recipientsJSON { out.append(contentsOf: recipientsJSON) } else { write(event.recipients, into: &out) }
    out.append(contentsOf: #","subject":"#.utf8)
    out.appendQuoted(event.subject)
    out.append(contentsOf: #","msgid":"#.utf8)
    out.appendQuoted(event.clientMessageID)
    out.append(contentsOf: #","related":["#.utf8)
    for (index, id) in event.relatedIDs.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      out.appendQuoted(id)
    }
    out.append(contentsOf: #"],"provider":"#.utf8)
    out.appendQuoted(event.provider)
    out.append(contentsOf: #","recipient":"#.utf8)
    out.appendQuoted(event.recipient)
    out.append(contentsOf: #","error":"#.utf8)
    out.appendQuoted(event.error)
    out.append(contentsOf: #","detail":"#.utf8)
    out.appendQuoted(event.detail)
    out.append(contentsOf: #","bytes":"#.utf8)
    out.appendDecimal(Int64(event.bytes))
    out.append(UInt8(ascii: "}"))
    return out
  }

  /// `[{"address":"…","class":"certificato"}]`, as it stands in a row.
  public static func recipientsJSON(_ recipients: [Recipient]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(2 + recipients.count * 80)
    write(recipients, into: &out)
    return out
  }

  private static func write(_ recipients: [Recipient], into out: inout [UInt8]) {
    out.append(UInt8(ascii: "["))
    for (index, recipient) in recipients.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      out.append(contentsOf: #"{"address":"#.utf8)
      out.appendQuoted(recipient.address)
      out.append(contentsOf: #","class":"#.utf8)
      out.appendQuoted(recipient.recipientClass.rawValue)
      out.append(UInt8(ascii: "}"))
    }
    out.append(UInt8(ascii: "]"))
  }

  /// The row of these octets. Only what `octets` itself would write is read.
  public static func read(_ octets: [UInt8]) throws(EvidenceError) -> EventRecord {
    var reader = CanonicalReader(octets)
    let event = try read(&reader)
    try reader.expectEnd()
    try CanonicalText.compare(octets, with: CanonicalEvent.octets(event))
    return event
  }

  private static func read(_ reader: inout CanonicalReader) throws(EvidenceError) -> EventRecord {
    try reader.expect(#"{"v":1,"number":"#)
    let number = try reader.number()
    let instant = try reader.instant(#","utc":"#, #","offset":"#, #","time":"#)
    try reader.expect(#","event":"#)
    let place = reader.at
    guard let kind = kinds[try reader.text()] else { throw .malformed(offset: place, expected: "a kind of event") }
    try reader.expect(#","id":"#)
    let pecID = try reader.text()
    try reader.expect(#","sender":"#)
    let sender = try reader.text()
    try reader.expect(#","recipients":"#)
    let recipients = try recipients(&reader)
    try reader.expect(#","subject":"#)
    let subject = try reader.optionalText()
    try reader.expect(#","msgid":"#)
    let clientMessageID = try reader.optionalText()
    try reader.expect(#","related":"#)
    let related = try texts(&reader)
    try reader.expect(#","provider":"#)
    let provider = try reader.text()
    try reader.expect(#","recipient":"#)
    let recipient = try reader.optionalText()
    try reader.expect(#","error":"#)
    let error = try reader.optionalText()
    try reader.expect(#","detail":"#)
    let detail = try reader.optionalText()
    try reader.expect(#","bytes":"#)
    let bytes = try reader.number()
    try reader.expect("}")
    return EventRecord(
      number: number, pecID: pecID, instant: instant, kind: kind, sender: sender, recipients: recipients, subject: subject,
      clientMessageID: clientMessageID, relatedIDs: related, provider: provider, recipient: recipient, error: error, detail: detail,
      bytes: Int(bytes))
  }

  private static let kinds = Dictionary(uniqueKeysWithValues: EventKind.allCases.map { ($0.rawValue, $0) })

  private static func recipients(_ reader: inout CanonicalReader) throws(EvidenceError) -> [Recipient] {
    try reader.expect("[")
    var out: [Recipient] = []
    if reader.skip("]") { return out }
    repeat {
      try reader.expect(#"{"address":"#)
      let address = try reader.text()
      try reader.expect(#","class":"#)
      let place = reader.at
      guard let recipientClass = RecipientClass(rawValue: try reader.text()) else {
        throw .malformed(offset: place, expected: "a class of recipient")
      }
      try reader.expect("}")
      out.append(Recipient(address: address, recipientClass: recipientClass))
    } while reader.skip(",")
    try reader.expect("]")
    return out
  }

  private static func texts(_ reader: inout CanonicalReader) throws(EvidenceError) -> [String] {
    try reader.expect("[")
    var out: [String] = []
    if reader.skip("]") { return out }
    repeat { out.append(try reader.text()) } while reader.skip(",")
    try reader.expect("]")
    return out
  }

  /// Reads what `recipientsJSON` wrote, and nothing else.
  public static func recipients(reading json: [UInt8]) throws(EvidenceError) -> [Recipient] {
    var reader = CanonicalReader(json)
    let read = try recipients(&reader)
    try reader.expectEnd()
    try CanonicalText.compare(json, with: recipientsJSON(read))
    return read
  }

  /// The number that octets claim to be the row of, without a look at the rest; nil when they do not begin like a row.
  static func claimedNumber(_ octets: [UInt8]) -> Int64? {
    var reader = CanonicalReader(octets)
    guard reader.skip(#"{"v":1,"number":"#), let number = try? reader.number(), reader.skip(",") else { return nil }
    return number
  }
}
