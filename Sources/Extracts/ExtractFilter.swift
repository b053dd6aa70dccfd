public import Journey
import Octets

/// Which rows of the certified log may be given to a holder: those of his own messages and no others (`pec-rules` 9.5).
///
/// Who asks is one party of a message: its sender, or a recipient. A recipient sees the rows about himself and those about the message as
/// a whole, in which the other recipients stand as they stood in To and Cc (RFC 6109 §2.2.1 lets no others through). Rows cannot be
/// blackened: the seal is over their octets. So a row that would tell him of somebody he need not know is withheld as a whole.
public enum ExtractFilter {
  /// What a holder may have.
  public struct Selection: Sendable, Equatable {
    /// In the order given.
    public var rows: [EventRecord]
    /// Rows about his messages that name others who may have got blind copies: only a judge is given those.
    public var withheld: Int

    /// A selection of these rows.
    public init(rows: [EventRecord], withheld: Int) {
      self.rows = rows
      self.withheld = withheld
    }
  }

  /// The rows of `rows` that belong to the holder of an address; addresses are compared without regard to ASCII case.
  public static func select(_ rows: [EventRecord], for holder: String) -> Selection {
    select(rows, for: holder, unvouched: unvouched(rows))
  }

  /// PEC ids of messages that nobody vouched for, as these rows tell.
  ///
  /// Such a message names its sender as it pleases: being named gives no right to it, in any of its rows.
  public static func unvouched(_ rows: [EventRecord]) -> Set<String> { Set(rows.filter { !isSenderVouchedFor($0) }.map(\.pecID)) }

  /// The rows of a part of a message's rows that belong to a holder.
  /// - Parameter unvouched: what `unvouched` says of all its rows: one row may decide about those of another part.
  public static func select(_ rows: [EventRecord], for holder: String, unvouched: Set<String>) -> Selection {
    guard !holder.isEmpty else { return Selection(rows: [], withheld: 0) }
    var selection = Selection(rows: [], withheld: 0)
    for row in rows {
      switch claim(to: row, of: holder, isVouchedFor: !unvouched.contains(row.pecID)) {
      case .none: continue
      case .withheld: selection.withheld += 1
      case .full: selection.rows.append(row)
      }
    }
    return selection
  }

  /// True when the row is one of the holder's own. `select` also looks at the other rows of the message, and may refuse more.
  public static func belongs(_ row: EventRecord, to holder: String) -> Bool {
    !holder.isEmpty && claim(to: row, of: holder, isVouchedFor: isSenderVouchedFor(row)) == .full
  }

  private enum Claim { case none, withheld, full }

  private static func claim(to row: EventRecord, of holder: String, isVouchedFor: Bool) -> Claim {
    if row.kind.isAboutTheLog || row.pecID.isEmpty { return .none }
    let standing = standing(of: row)
    if isVouchedFor, standing != .unvouched, standing != .recipientsOwn, ASCII.equal(row.sender, holder) { return .full }
    guard standing != .sendersOwn else { return .none }
    let isConcerned = row.recipient.map { ASCII.equal($0, holder) } ?? row.recipients.contains { ASCII.equal($0.address, holder) }
    guard isConcerned else { return .none }
    let isAlone = row.recipients.allSatisfy { ASCII.equal($0.address, holder) }
    return isAlone || standing == .certified ? .full : .withheld
  }

  private static func isSenderVouchedFor(_ row: EventRecord) -> Bool { standing(of: row) != .unvouched }

  /// Who is known to stand in the message of a row.
  private enum Standing {
    /// Its sender was authenticated, by us or by the provider that signed it, and all recipients stand in its header.
    case certified
    /// Its sender was authenticated, and it went no further: its recipients never heard of it.
    case sendersOwn
    /// It is the recipient's affair alone: its sender never hears of it.
    case recipientsOwn
    /// Nobody vouches for the sender, and there may be blind copies.
    case unvouched
  }

  /// Exhaustive, so that a new kind is thought about.
  private static func standing(of row: EventRecord) -> Standing {
    if row.provider.isEmpty { return .unvouched }
    switch row.kind {
    case .anomaly, .ordinaryRefused, .ordinaryDiscarded, .ordinaryForwarded, .ordinaryInfected, .infectedCertified: return .unvouched
    case .nonAcceptance, .nonAcceptanceVirus, .scanFault: return .sendersOwn
    case .arrivalNoticeSent, .arrivalNoticeDropped: return .recipientsOwn
    case .acceptance, .envelopeMade, .envelopeSent, .noticeDelivered, .nonDelivery, .noticeDropped, .dropped, .envelopeReceived,
      .takeCharge, .delivery, .notificationReceived, .takeChargeReceived, .virusDetectionReceived, .virusNonDelivery, .awaitingProof,
      .virusDetection, .timeoutFirst, .timeoutSecond, .duplicate:
      return .certified
    case .logOpened, .logClosed, .indexUpdated, .clockAlarm, .clockTrusted, .sealed, .stamped, .stampMissing, .purged, .held,
      .holdLifted, .extractRequest, .extractMade, .deliveryHeld, .deliveryReleased, .choiceChanged, .restored:
      return .unvouched
    }
  }
}
