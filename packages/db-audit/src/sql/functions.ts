const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '')

// Of what the engine has, these read nothing but their arguments, tell nothing of the server, and cost about as much as
// what they are given is long. Left out are those that make much of little (range, repeat), wait (sleep), build types or
// aggregate states from text, look things up by name, or reach for files, networks, dictionaries, models and settings.
const ORDINARY = words(`
  and or xor not if multiIf ifNull nullIf coalesce isNull isNotNull assumeNotNull toNullable
  caseWithExpression equals notEquals less greater lessOrEquals greaterOrEquals isDistinctFrom isNotDistinctFrom
  in notIn nullIn notNullIn exists greatest least
  plus minus multiply divide intDiv intDivOrZero modulo moduloOrZero positiveModulo negate abs sign round floor ceil
  ceiling trunc truncate roundBankers sqrt pow power exp log log2 log10 ln bitAnd bitOr bitXor bitNot bitShiftLeft
  bitShiftRight bitCount isNaN isFinite isInfinite
  tuple tupleElement array arrayElement map mapKeys mapValues mapContains lambda identity materialize
  length empty notEmpty lower upper lowerUTF8 upperUTF8 lengthUTF8 char_length substring substringUTF8 substr mid left right
  leftUTF8 rightUTF8 trim trimLeft trimRight trimBoth ltrim rtrim concat concatWithSeparator concat_ws startsWith endsWith
  reverse reverseUTF8 position positionCaseInsensitive positionUTF8 positionCaseInsensitiveUTF8 locate countSubstrings
  countSubstringsCaseInsensitive hasToken hasTokenCaseInsensitive like notLike ilike notILike match extract extractAll
  replaceOne replaceAll replace replaceRegexpOne replaceRegexpAll splitByChar splitByString splitByWhitespace
  splitByNonAlpha arrayStringConcat hex unhex base64Encode base64Decode tryBase64Decode isValidUTF8 toValidUTF8
  toString toInt8 toInt16 toInt32 toInt64 toUInt8 toUInt16 toUInt32 toUInt64 toFloat32 toFloat64 toInt32OrNull
  toInt64OrNull toUInt32OrNull toUInt64OrNull toFloat64OrNull toInt32OrZero toInt64OrZero toUInt32OrZero toUInt64OrZero
  toFloat64OrZero toUUID toUUIDOrNull toDate toDate32 toDateTime toDateTime64 toDateOrNull toDateTimeOrNull
  toDateTime64OrNull parseDateTimeBestEffort parseDateTimeBestEffortOrNull parseDateTime64BestEffort
  parseDateTime64BestEffortOrNull toDecimal32 toDecimal64 toIPv4 toIPv6 toIPv4OrNull toIPv6OrNull toTypeName CAST
  now now64 today yesterday toYear toQuarter toMonth toWeek toISOWeek toISOYear toYearWeek toDayOfYear toDayOfMonth
  toDayOfWeek toHour toMinute toSecond toMillisecond toUnixTimestamp toUnixTimestamp64Milli fromUnixTimestamp
  fromUnixTimestamp64Milli toStartOfYear toStartOfQuarter toStartOfMonth toStartOfISOYear toStartOfWeek toLastDayOfWeek
  toLastDayOfMonth toMonday toStartOfDay toStartOfHour toStartOfMinute toStartOfSecond toStartOfFiveMinutes
  toStartOfTenMinutes toStartOfFifteenMinutes toStartOfInterval toTime toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss toTimeZone
  timeZoneOf timezoneOf timeZoneOffset dateDiff date_diff timestampDiff timestamp_diff dateAdd date_add dateSub date_sub dateTrunc date_trunc dateName
  formatDateTime addYears addQuarters addMonths addWeeks addDays addHours addMinutes addSeconds addMilliseconds
  subtractYears subtractQuarters subtractMonths subtractWeeks subtractDays subtractHours subtractMinutes subtractSeconds
  subtractMilliseconds monthName toIntervalYear toIntervalQuarter toIntervalMonth toIntervalWeek toIntervalDay
  toIntervalHour toIntervalMinute toIntervalSecond toIntervalMillisecond UUIDv7ToDateTime age
  JSONExtractString JSONExtractInt JSONExtractUInt JSONExtractFloat JSONExtractBool JSONExtractRaw JSONExtractKeys
  JSONExtractArrayRaw JSONExtractKeysAndValuesRaw JSONHas JSONLength JSONType isValidJSON simpleJSONExtractString
  simpleJSONExtractInt simpleJSONExtractBool simpleJSONHas toJSONString
  isIPv4String isIPv6String isIPAddressInRange IPv4StringToNum IPv4NumToString IPv4ToIPv6 IPv4CIDRToRange IPv6CIDRToRange
  IPv4NumToStringClassC cutIPv6
  has hasAll hasAny indexOf countEqual arrayMap arrayFilter arrayExists arrayAll arrayCount arraySum arrayMin arrayMax
  arrayAvg arrayFirst arrayLast arrayFirstIndex arrayLastIndex arraySort arrayReverseSort arrayReverse arrayDistinct
  arrayUniq arrayConcat arraySlice arrayPushBack arrayPushFront arrayEnumerate arrayEnumerateUniq arrayJoin arrayZip
  arrayDifference arrayCumSum arrayCompact arrayIntersect arrayFlatten
  cityHash64 sipHash64 xxHash64 MD5 SHA1 SHA256
  domain domainWithoutWWW protocol path
`)

const WINDOW = words(`
  row_number rank dense_rank percent_rank cume_dist ntile lag lead lagInFrame leadInFrame first_value last_value nth_value
`)

// Quantiles, and what keeps all values, are held by the bound of memory.
const AGGREGATE = words(`
  count sum avg min max any anyLast argMin argMax uniq uniqExact uniqCombined uniqHLL12 groupArray groupUniqArray topK
  median quantile quantiles quantileExact quantilesExact quantileTDigest stddevPop stddevSamp varPop varSamp corr covarPop
  covarSamp skewPop skewSamp kurtPop kurtSamp entropy groupBitOr groupBitAnd groupBitXor windowFunnel retention first_value
  last_value any_value
`)

const COMBINATORS = [
  '',
  'If',
  'Distinct',
  'OrNull',
  'OrDefault',
  'IfOrNull',
  'IfOrDefault',
  'DistinctIf',
  'Array',
  'ArrayIf',
]

const allowed = new Set([
  ...[...ORDINARY, ...WINDOW].map((name) => name.toLowerCase()),
  ...AGGREGATE.flatMap((name) => COMBINATORS.map((combinator) => (name + combinator).toLowerCase())),
])

/**
 * Whether SQL from outside may use a function. The engine takes some names in any case and has no two that differ in
 * nothing else (a test looks), so case makes no difference here.
 */
export const isAllowedFunction = (name: string): boolean => allowed.has(name.toLowerCase())

const SCALAR =
  "(?:String|FixedString\\(\\d{1,4}\\)|U?Int(?:8|16|32|64|128|256)|Float(?:32|64)|Bool|UUID|IPv4|IPv6|Date|Date32|DateTime(?:\\(\\\\?'[\\w/+-]{1,64}\\\\?'\\))?|DateTime64\\(\\d(?:, ?\\\\?'[\\w/+-]{1,64}\\\\?')?\\)|Decimal(?:32|64|128)?\\(\\d{1,2}(?:, ?\\d{1,2})?\\))"
const TYPE = new RegExp(`^(?:(?:Nullable|Array|LowCardinality)\\(){0,4}${SCALAR}\\){0,4}$`)

/** Whether values may be cast to a type: plain ones, not states of aggregates, which the engine takes from any bytes. */
export const isAllowedType = (name: string): boolean => TYPE.test(name)
