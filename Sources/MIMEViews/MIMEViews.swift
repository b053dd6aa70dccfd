import Limits
import Octets

/// One form in which some mail client would show, or save, a piece of a message.
public struct MIMEView: Sendable {
  /// What it is, for log lines: "part 3, base64", "sweep, uuencode".
  public var name: String
  /// The decoded octets.
  public var octets: Chunk

  /// A view.
  public init(name: String, octets: Chunk) {
    self.name = name
    self.octets = octets
  }
}

/// What became of a message's views.
public struct ViewPlan: Sendable, Equatable {
  /// True when the whole message, as libclamav takes it apart, is all that there is to scan.
  public var isPlain: Bool
  /// True when not every view could be handed out: nested too deep, too many parts or views, more decoded than allowed.
  /// A verdict of its own, and never "clean".
  public var isBeyondLimits: Bool

  /// A plan.
  public init(isPlain: Bool, isBeyondLimits: Bool) {
    self.isPlain = isPlain
    self.isBeyondLimits = isBeyondLimits
  }
}

/// Decides what must be scanned besides the whole message, because libclamav and a mail client could see different parts in it.
///
/// Fail-safe: a message gets no views only when it is written in a small strict language that all readers agree on (`PlainCheck`).
/// Any other is decoded in every way that a client could, by our own walker's parts, between all lines that could be a boundary, and
/// without regard to structure.
public enum MIMEViews {
  /// Hands out the views of a message that is in memory, one at a time, so that memory stays bounded by the largest of them.
  ///
  /// - Parameters:
  ///   - message: the message alone, without any line put before it.
  ///   - limits: depth and number of parts above which the plan says `isBeyondLimits`.
  ///   - maximumBytes: octets of all views together above which it does.
  ///   - body: scans a view; false ends the work, as after a threat that was found.
  public static func each(
    of message: Chunk, limits: MessageLimits, maximumBytes: Int, _ body: (MIMEView) -> Bool
  ) -> ViewPlan {
    if message.withSpan({ PlainCheck.isPlain($0) }) { return ViewPlan(isPlain: true, isBeyondLimits: false) }
    var maker = ViewMaker(limits: limits, maximumBytes: maximumBytes)
    maker.examine(message, "", level: 0, body)
    return ViewPlan(isPlain: false, isBeyondLimits: maker.isBeyondLimits)
  }
}
