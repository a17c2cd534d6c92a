; Delivery vans with batteries. Preconditions and effects of the actions are to be learned.
(define (domain delivery)
  (:requirements :typing :fluents)
  (:types place item - object
          van parcel - item)
  (:predicates (at ?x - item ?p - place)
               (in ?c - parcel ?v - van)
               (charger ?p - place))
  (:functions (battery ?v - van)             ; kilometres left
              (full ?v - van)                ; kilometres of a full battery
              (cargo ?v - van)               ; kilograms on board
              (limit ?v - van)               ; kilograms allowed
              (weight ?c - parcel)           ; kilograms
              (distance ?a ?b - place))      ; kilometres
  (:action drive :parameters (?v - van ?a ?b - place))
  (:action charge :parameters (?v - van ?p - place))
  (:action pick-up :parameters (?c - parcel ?v - van ?p - place))
  (:action drop-off :parameters (?c - parcel ?v - van ?p - place))
)
