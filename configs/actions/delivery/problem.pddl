; A new fleet in another town; none of these objects is in the log.
(define (problem monday)
  (:domain delivery)
  (:objects depot mill school - place
            red blue - van
            books flour desk - parcel)
  (:init (at red depot) (at blue mill) (charger depot)
         (at books depot) (at desk depot) (at flour mill)
         (= (battery red) 12) (= (full red) 35) (= (cargo red) 0) (= (limit red) 20)
         (= (battery blue) 16) (= (full blue) 50) (= (cargo blue) 0) (= (limit blue) 30)
         (= (weight books) 7.5) (= (weight flour) 10) (= (weight desk) 18)
         (= (distance depot mill) 14) (= (distance mill depot) 14)
         (= (distance depot school) 11.5) (= (distance school depot) 11.5)
         (= (distance mill school) 10) (= (distance school mill) 10))
  (:goal (and (at books school) (at desk school) (at flour school)))
)
