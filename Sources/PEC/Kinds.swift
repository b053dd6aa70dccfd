import Octets

/// What a message of the certified channel is (RFC 6109 §2.1; Italian names beside the English).
public enum MessageKind: String, Sendable, CaseIterable, Codable {
  /// Acceptance receipt (ricevuta di accettazione).
  case acceptance
  /// Non-acceptance notice for formal faults (avviso di non accettazione per eccezioni formali).
  case nonAcceptance
  /// Non-acceptance notice for a virus (avviso di non accettazione per virus informatico).
  case nonAcceptanceVirus
  /// Transport envelope (busta di trasporto).
  case envelope
  /// Non-delivery notice (avviso di mancata consegna).
  case nonDelivery
  /// First timeout notice, after 12 hours (avviso di mancata consegna per superamento dei tempi massimi previsti).
  case timeoutFirst
  /// Second timeout notice, before 24 hours are over.
  case timeoutSecond
  /// Take-charge receipt (ricevuta di presa in carico).
  case takeCharge
  /// Complete delivery receipt (ricevuta completa di avvenuta consegna).
  case deliveryComplete
  /// Brief delivery receipt (ricevuta di avvenuta consegna breve).
  case deliveryBrief
  /// Concise delivery receipt (ricevuta sintetica di avvenuta consegna).
  case deliveryConcise
  /// Virus detection notice (avviso di rilevazione virus informatico), for the provider that sent the message.
  case virusDetection
  /// Virus non-delivery notice (avviso di mancata consegna per virus informatico).
  case virusNonDelivery
  /// Anomaly envelope (busta di anomalia).
  case anomaly
  /// A receipt or notice of another provider, passing through unchanged; never composed here.
  case notification
  /// Ordinary mail, passing through unchanged; never composed here.
  case ordinary
  /// A delivery report about ordinary mail (RFC 3464), unsigned.
  case deliveryReport
  /// A word by ordinary mail that a message arrived (avviso di arrivo), unsigned.
  case arrivalNotice
}

/// Kind of delivery receipt a sender asks for (`X-TipoRicevuta`, RFC 6109 §3.3.2).
public enum ReceiptType: String, Sendable, Codable {
  case complete = "completa"
  case brief = "breve"
  case concise = "sintetica"

  /// The type that a header value names, without regard to case and space; complete for anything unknown or absent.
  public init(headerValue: String?) {
    let value = (headerValue ?? "").split(whereSeparator: { $0 == " " || $0 == "\t" }).joined()
    self = ReceiptType(rawValue: ASCII.lowercased(value)) ?? .complete
  }
}

/// Whether a recipient's domain is certified (RFC 6109 §2.2.1).
public enum RecipientClass: String, Sendable, Codable {
  /// Found among the managed domains of the provider index ("posta certificata").
  case certified = "certificato"
  /// Not found there ("posta ordinaria").
  case ordinary = "esterno"
}

/// A recipient of the original with the class of its domain.
public struct Recipient: Sendable, Equatable, Codable {
  /// Address as given in the SMTP forward path, without angle brackets.
  public var address: String
  public var recipientClass: RecipientClass

  /// A recipient whose domain is of that class.
  public init(address: String, recipientClass: RecipientClass) {
    self.address = address
    self.recipientClass = recipientClass
  }
}
