/// The properties that the hub and its clients give a fixed meaning (reference sheet 1.3).
///
/// The raw value is the number on disk (format-spec §6.4).
public enum SystemProperty: UInt8, CaseIterable, Hashable, Sendable {
  /// The module of the device that sent the event (`iothub-connection-module-id`).
  case moduleID = 0
  /// The sender's name for the event (`message-id`).
  case messageID = 1
  /// What the event answers or belongs to (`correlation-id`).
  case correlationID = 2
  /// Who is responsible for the event (`user-id`).
  case userID = 3
  /// The media type of the body (`content-type`).
  case contentType = 4
  /// The character encoding of the body (`content-encoding`).
  case contentEncoding = 5
  /// When the device says it made the event, kept as written (`iothub-creation-time-utc`).
  case creationTime = 6
  /// The component of the device's model (`dt-subject`).
  case componentName = 7
  /// The device's model (`dt-dataschema`), stamped by the hub.
  case dataSchema = 8
  /// The generation of the device's identity, stamped by the hub.
  case generationID = 9
  /// How the device proved its identity (JSON text), stamped by the hub.
  case authenticationMethod = 10
  /// Where in the hub the event arose, stamped by the hub.
  case messageSource = 11
}

/// The system properties of one event.
///
/// Absent ones take no space.
public struct SystemProperties: Hashable, Sendable {
  private var values: [SystemProperty: String]

  /// No system properties.
  public static let empty = Self()

  /// Makes an empty set.
  public init() { values = [:] }

  /// The text of one property, nil if the event has none.
  public subscript(property: SystemProperty) -> String? {
    get { values[property] }
    set { values[property] = newValue }
  }

  /// Whether there are none.
  public var isEmpty: Bool { values.isEmpty }

  /// Bytes of all values, as the size of an event counts them.
  public var size: Int { values.values.reduce(0) { $0 + $1.utf8.count } }
}
