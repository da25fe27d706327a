/// Which outcomes of a message its sender wants to hear of.
///
/// The raw value is the number on disk (format-spec §14.1).
public enum FeedbackMode: UInt8, CaseIterable, Hashable, Sendable {
  /// None.
  case none = 0
  /// That the device completed it.
  case positive = 1
  /// That it was rejected, purged, expired or delivered too often.
  case negative = 2
  /// Every outcome.
  case full = 3

  /// Whether an outcome gives a feedback record.
  public func covers(_ status: SettlementStatus) -> Bool {
    rawValue & (status == .success ? Self.positive.rawValue : Self.negative.rawValue) != 0
  }
}

/// How a message ended: the hub's five statuses.
///
/// The raw value is the number on disk (format-spec §14.1).
public enum SettlementStatus: UInt8, CaseIterable, Hashable, Sendable {
  /// The device completed it.
  case success = 0
  /// Its time to live ended first.
  case expired = 1
  /// It was delivered as often as the queue allows, and not completed.
  case deliveryCountExceeded = 2
  /// The device rejected it.
  case rejected = 3
  /// The queue was purged.
  case purged = 4

  /// The hub's name for it, such as `DeliveryCountExceeded`.
  public var name: String {
    switch self {
    case .success: "Success"
    case .expired: "Expired"
    case .deliveryCountExceeded: "DeliveryCountExceeded"
    case .rejected: "Rejected"
    case .purged: "Purged"
    }
  }

  /// Whether the message is kept in the dead-letter stream.
  public var isDeadLetter: Bool {
    switch self {
    case .expired, .deliveryCountExceeded, .rejected: true
    case .success, .purged: false
    }
  }
}

/// The temporary right to settle one message: what a device queue gives out with every delivery.
///
/// Void once the lock runs out, the message is settled, or the store is opened again.
public struct LockToken: Hashable, Sendable, CustomStringConvertible {
  /// The sequence number of the message.
  public let sequenceNumber: UInt64
  package let nonce: UInt64

  package init(sequenceNumber: UInt64, nonce: UInt64) {
    self.sequenceNumber = sequenceNumber
    self.nonce = nonce
  }

  /// Reads a token from its text; nil if it is none.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count == 32, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }),
      let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16)
    else { return nil }
    self.init(sequenceNumber: high, nonce: low)
  }

  /// The token as text: 32 hexadecimal digits.
  public var description: String { Self.digits(sequenceNumber) + Self.digits(nonce) }

  private static func digits(_ value: UInt64) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.utf8.count) + text
  }
}
