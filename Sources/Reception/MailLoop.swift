import MIMEStream
import Octets

/// Signs that a message goes round in circles (RFC 5321 §6.3, `pec-rules` 13.7).
public enum MailLoop {
  /// Hops from which on a message counts as looping (RFC 5321 §6.3: a large threshold, as a rule at least 100; no way in the certified
  /// channel, where providers speak to each other directly, comes near a half of it).
  public static let maximumHops = 50

  /// How many servers had the message, by their Received lines.
  public static func hops(in header: HeaderFacts) -> Int { header.fields(named: "Received").count }

  /// True when the message has too many hops to be taken.
  public static func isLooping(_ header: HeaderFacts) -> Bool { hops(in: header) >= maximumHops }

  /// True when a Delivered-To line says that the mailbox forwarded the message before. ASCII case, brackets and white space aside.
  public static func wasForwarded(by address: String, _ header: HeaderFacts) -> Bool {
    header.fields(named: "Delivered-To").contains { field in
      var value = header.value(of: field)[...]
      if value.first == UInt8(ascii: "<"), value.last == UInt8(ascii: ">") { value = value.dropFirst().dropLast() }
      return ASCII.equal(value, address.utf8)
    }
  }

  /// True when a machine says that it sent the message (RFC 3834 §5): `Auto-Submitted` with any word but `no`.
  public static func isAutomatic(_ header: HeaderFacts) -> Bool {
    header.fields(named: "Auto-Submitted").contains { field in
      let word = header.value(of: field).prefix { $0 != UInt8(ascii: ";") && $0 != 32 && $0 != 9 && $0 != UInt8(ascii: "(") }
      return !ASCII.equal(word, "no".utf8)
    }
  }
}
