import MIMEStream
import Octets
import PEC

/// Who signed.
enum Signer {
  case provider(ProviderRecord, remarks: [String])
  /// No provider, as far as can be proved.
  case nobody([Reason])
}

extension IncomingCheck {
  /// A message may be this long on its way after its certificate ended: a sending provider gives up after 24 hours (RFC 6109 §2.2.2),
  /// doubled for a queue that stood still.
  static let transitSeconds: Int64 = 48 * 3600

  /// C1–C3 and C5 (`pec-rules` 6.2): the provider that the message comes from for certain.
  func signer(of message: ReceivedMessage, at instant: Instant) -> Signer {
    guard message.claim.signedRange != nil, message.claim.signature != nil else {
      return .nobody([Reason(english: "the message as a whole is not signed", italian: "messaggio privo di firma del gestore")])
    }
    guard let found = message.signature else {
      return .nobody([Reason(english: "the signature could not be read", italian: "firma non leggibile")])
    }
    if case .bad(let reason) = found.mathematics { return .nobody([reason]) }
    // The hash is a search key; two certificates may share it one day, and only the whole certificate is the provider's.
    guard let record = directory.record(certificateHash: found.sha1), !found.certificate.isEmpty,
      record.certificates.contains(found.certificate)
    else {
      return .nobody([
        Reason(
          english: "the certificate that signed it is not in the provider index",
          italian: "certificato di firma non presente nell'indice dei gestori")
      ])
    }
    var remarks: [String] = []
    if let reason = pathFault(found) { return .nobody([reason]) }
    if let reason = validityFault(found, message, at: instant, &remarks) { return .nobody([reason]) }
    switch found.revocation {
    case .good: break
    case .unknown(let words): remarks.append("revocation of the signing certificate is not known: \(excerpt(words))")
    case .revoked:
      // Whatever time the message gives itself: who has the key can write any time he likes.
      return .nobody([Reason(english: "the certificate that signed it is revoked", italian: "certificato di firma revocato")])
    }
    // C5 (RFC 6109 §7). A From that names nobody for certain is a fault of form and not of origin.
    if let from = message.claim.from, !IncomingCheck.manages(from.domain, record, directory) {
      return .nobody([
        Reason(
          english: "From is in the domain \(excerpt(from.domain)), which \(record.providerName) does not manage",
          italian: "dominio del campo From non gestito dal gestore firmatario")
      ])
    }
    return .provider(record, remarks: remarks)
  }

  private func pathFault(_ found: SignatureFindings) -> Reason? {
    let italian = "percorso di certificazione non valido"
    switch found.path {
    case .good: return nil
    case .bad(let words): return Reason(english: "the signing certificate's path does not hold: \(excerpt(words))", italian: italian)
    case .notChecked: return Reason(english: "the signing certificate's path was not checked", italian: italian)
    }
  }

  /// Validity at arrival (RFC 6109 §2.2.2). A certificate that ended while the message was on its way was valid when it signed: the
  /// message's own time decides, and no longer than a message can be on its way, since who has an old key can write any time.
  private func validityFault(
    _ found: SignatureFindings, _ message: ReceivedMessage, at instant: Instant, _ remarks: inout [String]
  ) -> Reason? {
    let arrival = instant.unixSeconds
    guard arrival >= found.notBefore else {
      return Reason(english: "the certificate that signed it is not valid yet", italian: "certificato di firma non ancora valido")
    }
    if arrival <= found.notAfter { return nil }
    let expired = Reason(english: "the certificate that signed it has expired", italian: "certificato di firma scaduto")
    guard case .success(let data)? = message.certification else { return expired }
    let own = data.instant.unixSeconds
    guard own >= found.notBefore, own <= found.notAfter, arrival - own <= IncomingCheck.transitSeconds else { return expired }
    if let signed = found.signingTime, signed < found.notBefore || signed > found.notAfter { return expired }
    remarks.append("the signing certificate expired while the message was on its way; it was valid at the message's own time")
    return nil
  }
}
